"""One HTTP/1.x request and the response to it: how :class:`~.client_request.ClientRequest` says things in HTTP/1.1.

Responses are collected in ``_out`` and leave with :meth:`Request.flush`, so that a head and a small body are one write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from balancer.forwarding.ends import TunnelEnd
from balancer.forwarding.headers import VIA_LINES, Arrival, response_frame, with_hsts
from balancer.forwarding.tunnel import Tunnel
from balancer.listeners.http.client_request import NO_BODY, ClientRequest
from balancer.listeners.http.held import held
from balancer.listeners.http.recording import note
from balancer.listeners.http.site import Site
from balancer.listeners.http.switching import switching
from balancer.model.facts import RequestFacts
from balancer.model.headers import RawHeaders
from balancer.wire.http1 import encode
from balancer.wire.http1.requests import Incoming
from balancer.wire.http1.responses import ResponseHead

if TYPE_CHECKING:
    from balancer.listeners.http.channel import HTTPChannel

__all__ = ["Request"]


class Request(ClientRequest):
    """A request in the hands of an HTTP/1.x channel; the client side of its exchange."""

    __slots__ = ("_chunked", "_out", "is_live", "keep_alive")

    def __init__(
        self,
        channel: HTTPChannel,
        incoming: Incoming,
        facts: RequestFacts,
        arrival: Arrival,
        site: Site,
        request_id: str,
        started_at: float,
    ) -> None:
        head = incoming.head
        ClientRequest.__init__(self, channel, head, incoming.body, facts, arrival, site, request_id, started_at)
        self.keep_alive = head.keep_alive
        self.is_live = False
        self._chunked = False
        self._out: list[bytes] = []

    # The request.

    def pauseProducing(self) -> None:
        """Take no more of the body from the client for now."""
        self.channel.hold_body()

    def resumeProducing(self) -> None:
        """Take more of the body."""
        self.channel.release_body()

    def stopProducing(self) -> None:
        """The server takes no more: what still comes is thrown away."""
        self.channel.release_body()

    def be_the_last(self) -> None:
        """Close the connection after the response."""
        self.keep_alive = False

    # The response.

    def informational(self, status: int, headers: RawHeaders) -> None:
        """Pass on a 1xx to a client that can read it (RFC 9110 section 15.2)."""
        if self.head.version == "1.1" and not self.responded:
            self._out.append(encode.response_head(status, None, headers, b"\r\n"))
            self.flush()

    def respond(
        self,
        status: int,
        reason: bytes | None,
        headers: RawHeaders,
        length: int | None,
        block: bytes | None = None,
        version: str = "1.1",
    ) -> None:
        """Begin the response; see :meth:`.ClientRequest.respond`."""
        exchange = self.exchange
        if exchange is not None:
            before, block = status, None
            status, headers = self._filtered(exchange, status, headers, length)
            if status != before:
                reason = None
            if exchange.changes_response:
                length = None
        self.responded = True
        head = self.head
        self.record.status = status
        tail: list[bytes] = []
        if status in NO_BODY or status < 200:
            self._silent = True
            if status == 304 and length is not None:
                tail.append(b"Content-Length: %d\r\n" % length)
        elif length is not None:
            self._silent = head.method == "HEAD"
            tail.append(b"Content-Length: %d\r\n" % length)
        elif head.method == "HEAD":
            self._silent = True
            if head.version == "1.1":
                tail.append(b"Transfer-Encoding: chunked\r\n")
        elif head.version == "1.1":
            self._chunked = True
            tail.append(b"Transfer-Encoding: chunked\r\n")
        else:
            self.keep_alive = False
        if self.keep_alive and (not self.body.ended or self.channel.draining):
            self.keep_alive = False
        policy = self.site.policy
        if policy.hsts:
            headers, block = with_hsts(headers, policy.hsts), None
        if policy.via:
            tail.append(VIA_LINES[version])
        if policy.request_id:
            tail.append(b"X-Request-Id: %b\r\n" % self.request_id.encode("ascii"))
        if not self.keep_alive:
            tail.append(b"Connection: close\r\n")
        elif head.version == "1.0":
            tail.append(b"Connection: keep-alive\r\n")
        tail.append(b"\r\n")
        self._out.append(encode.response_head(status, reason, headers, b"".join(tail), block))

    def pass_on(self, head: ResponseHead, body: bytes, now: float) -> None:
        """Answer with a server's whole response, one that says its length, and end the exchange; for one without filters.

        The same as :meth:`respond`, :meth:`send` and :meth:`end`; where nothing is out of the ordinary, what is the same each
        time that the server repeats the head is made once. Measured: 1.5 µs less per request.
        """
        mine = self.head
        channel: HTTPChannel = self.channel
        if (
            mine.version != "1.1"
            or mine.method == "HEAD"
            or head.status in NO_BODY
            or self._out
            or not self.body.ended
            or channel.draining
        ):
            self.respond(head.status, head.reason, head.plain, head.content_length, head.block, head.version)
            self.send(body)
            self.end()
            return
        policy = self.site.policy
        frame = head.frame
        if frame is None or frame[0] is not policy:
            frame = head.frame = (policy, *response_frame(head, policy))
        record = self.record
        record.status = head.status
        record.bytes_out = len(body)
        self.responded = self.finished = True
        self.consumer = None
        before, after = frame[1], frame[2]
        if not self.keep_alive:
            if after:
                after = b"\r\nConnection: close\r\n\r\n"
            else:
                before = before[:-2] + b"Connection: close\r\n\r\n"
        channel.transport.write(
            b"".join((before, self.request_id.encode("ascii"), after, body)) if after else before + body
        )
        note(self, now)
        channel.request_ended(self, False)

    def send(self, data: bytes) -> None:
        """Add to the response's body."""
        if self._silent or not data:
            return
        if self._transform is not None:
            data = self._changed(self._transform, data)
            if not data:
                return
        self.record.bytes_out += len(data)
        self._out.append(encode.chunk(data) if self._chunked else data)

    def end(self, trailers: RawHeaders | None = None) -> None:
        """Complete the response, and send what is queued."""
        if self.held_until is not None and held(self, trailers):
            return
        if self._transform is not None and not self._silent:
            trailers = self._end_transform(trailers)
        if self._chunked and not self._silent:
            self._out.append(encode.last_chunk(trailers) if trailers else encode.LAST_CHUNK)
        self._finish()

    def flush(self) -> None:
        """Send what is queued."""
        out = self._out
        if out and self.held_until is None:
            data = out[0] if len(out) == 1 else b"".join(out)
            out.clear()  # before: a producer may be asked for more while this is written
            self.channel.transport.write(data)

    def stream_from(self, producer: Any, streaming: bool = True) -> None:
        """Let ``producer`` be paused while the client takes no more, or be asked for each piece; until :meth:`end`."""
        self._streaming = True
        self.channel.transport.registerProducer(producer, streaming)

    def stop_streaming(self) -> None:
        """Forget the producer."""
        if self._streaming:
            self._streaming = False
            self.channel.transport.unregisterProducer()

    def unsent(self) -> int:
        """Return how many bytes wait because the client does not take them."""
        return int(getattr(self.channel.transport, "queued", 0))

    def _forget_unsent(self) -> None:
        self._out.clear()

    def _take_back(self) -> bool:
        """Forget the head, unless it has been sent."""
        if not self._out or self.record.bytes_out:
            return False
        self._out.clear()
        self._chunked = False
        return True

    def watch(self) -> None:
        """Give up the client if it stops taking the answer."""
        self.channel.watch_answer(self)

    def cut(self) -> None:
        """Close the connection."""
        self.channel.abort()

    # Upgrades.

    @property
    def ended(self) -> bool:
        """Whether the client has said (with FIN) that it sends no more."""
        channel: HTTPChannel = self.channel
        return channel.client_ended

    def upgrade(self, protocol: bytes, headers: RawHeaders, tunnel: Tunnel) -> tuple[TunnelEnd, bytes]:
        """Agree to ``protocol`` and hand the connection to ``tunnel``; return its end and what the client sent already.

        Raises:
            ExchangeError: if a filter that must have its say on the response failed; nothing has begun then.
        """
        request_id = self.request_id if self.site.policy.request_id else ""
        self._out.append(switching(protocol, headers, self.exchange, request_id))
        self.responded = True
        self.record.status = 101
        self.flush()
        channel: HTTPChannel = self.channel
        return channel.become_tunnel(tunnel)

    def live(self) -> None:
        """The response is a stream of events: a client that closes its half from now on has left."""
        self.is_live = True

    def no_upgrade(self) -> None:
        """The server did not switch protocols: what follows is HTTP."""
        self.channel.resume_after_upgrade()

    def tunnel_ended(self) -> None:
        """The tunnel is done; its record can be written."""
        self._finish()
