"""One HTTP/1.1 request and the response to it: what the channel makes, the resource tree serves, forwarding fills.

The request costs only what it is asked for: facts are derived lazily, and what :class:`~twisted.web.iweb.IRequest`
wants is made (:mod:`.rendering`) when a resource that is not ours adapts it. Responses are collected in ``_out`` and
leave with :meth:`flush`, so that a head and a small body are one write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import implementer
from zope.interface.interface import InterfaceClass

from balancer import errors
from balancer.errors import ExchangeError
from balancer.filters.chain import run_responses
from balancer.forwarding.client_side import BodyConsumer
from balancer.forwarding.headers import VIA_LINES, Arrival, outgoing, request_frame, response_frame, with_hsts
from balancer.listeners.http import replies
from balancer.listeners.http.recording import note
from balancer.listeners.http.site import Site
from balancer.model.decision import Decision
from balancer.model.exchange import Exchange, Reply
from balancer.model.facts import RequestFacts
from balancer.model.headers import RawHeaders
from balancer.observe.records import ExchangeRecord
from balancer.wire.http1 import encode
from balancer.wire.http1.requests import Incoming
from balancer.wire.http1.responses import ResponseHead

if TYPE_CHECKING:
    from balancer.listeners.http.channel import HTTPChannel

from twisted.internet.interfaces import IPushProducer
from twisted.web.iweb import IRequest

__all__ = ["Request"]

_NO_BODY = frozenset([204, 304])


@implementer(IPushProducer)
class Request:
    """A request in the hands of the channel; the client side of its exchange."""

    __slots__ = (
        "_chunked",
        "_out",
        "_rendered",
        "_silent",
        "_streaming",
        "arrival",
        "body",
        "channel",
        "consumer",
        "decision",
        "exchange",
        "facts",
        "finished",
        "head",
        "host",
        "keep_alive",
        "record",
        "request_id",
        "responded",
        "site",
        "started_at",
        "target",
    )

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
        self.channel = channel
        self.head = incoming.head
        self.body = incoming.body
        self.facts = facts
        self.arrival = arrival
        self.site = site
        self.request_id = request_id
        self.target = facts.target
        self.host = incoming.head.host
        self.keep_alive = incoming.head.keep_alive
        self.exchange: Exchange | None = None
        self.decision: Decision | None = None
        self.consumer: BodyConsumer | None = None
        self.responded = False
        self.finished = False
        self._chunked = False
        self._silent = False
        self._streaming = False
        self._out: list[bytes] = []
        self._rendered: Any = None
        self.started_at = started_at
        self.record = ExchangeRecord()

    # The request.

    def outgoing_headers(self) -> RawHeaders:
        """Return a new list of the fields for a server, but for framing: what filters left, or what the policy makes."""
        exchange = self.exchange
        if exchange is not None:
            return list(exchange.headers)
        return outgoing(self.head, self.host, self.arrival, self.site.policy, self.request_id)

    def plain_bytes(self) -> bytes | None:
        """Return the whole request for a server, where nothing about it is out of the ordinary; else None."""
        head, arrival = self.head, self.arrival
        if (
            self.exchange is not None
            or arrival.trusted
            or head.content_length is not None
            or head.chunked
            or head.expect_continue
            or head.upgrade is not None
        ):
            return None
        policy = self.site.policy
        frame = head.frame
        if frame is None or frame[0] is not policy:
            frame = head.frame = (policy, *request_frame(head, self.target, self.host, arrival, policy))
        after = frame[2]
        return b"%b%b%b" % (frame[1], self.request_id.encode("ascii"), after) if after else frame[1]

    def invite_body(self) -> None:
        """Tell a client that waits for it to send the body (``100 Continue``): it will be read here."""
        if self.head.expect_continue and not self.body.received:
            self.head.expect_continue = False
            self.informational(100, [])

    def pauseProducing(self) -> None:
        """Take no more of the body from the client for now."""
        self.channel.hold_body()

    def resumeProducing(self) -> None:
        """Take more of the body."""
        self.channel.release_body()

    def stopProducing(self) -> None:
        """The server takes no more: what still comes is thrown away."""
        self.channel.release_body()

    def __conform__(self, interface: InterfaceClass) -> Any:
        """Offer :class:`~twisted.web.iweb.IRequest`, made when first asked for."""
        if interface is not IRequest:
            return None
        if self._rendered is None:
            from balancer.listeners.http.rendering import rendered

            self._rendered = rendered(self)
        return self._rendered

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
        """Begin the response.

        Args:
            status: its status.
            reason: its reason phrase, None for the usual one.
            headers: its fields, but for framing and those of this hop.
            length: of its body in bytes, None if unknown.
            block: ``headers`` as they go onto the wire, where that is known.
            version: of HTTP in which it was received.

        Raises:
            ExchangeError: if a filter that must have its say on the response failed; nothing has begun then.
        """
        exchange = self.exchange
        if exchange is not None:
            exchange.status = status
            exchange.response_headers = list(headers)
            run_responses(exchange)
            if exchange.status != status:
                status, reason = exchange.status, None
            headers, block = exchange.response_headers, None
        self.responded = True
        head = self.head
        self.record.status = status
        tail: list[bytes] = []
        if status in _NO_BODY or status < 200:
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
        if (
            not self.keep_alive
            or mine.version != "1.1"
            or mine.method == "HEAD"
            or head.status in _NO_BODY
            or self._out
            or not self.body.ended
            or self.channel.draining
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
        after = frame[2]
        self.channel.transport.write(
            b"%b%b%b%b" % (frame[1], self.request_id.encode("ascii"), after, body) if after else frame[1] + body
        )
        note(self, now)
        self.channel.request_ended(self, False)

    def send(self, data: bytes) -> None:
        """Add to the response's body."""
        if self._silent or not data:
            return
        self.record.bytes_out += len(data)
        self._out.append(encode.chunk(data) if self._chunked else data)

    def end(self, trailers: RawHeaders | None = None) -> None:
        """Complete the response, and send what is queued."""
        if self._chunked and not self._silent:
            self._out.append(encode.last_chunk(trailers) if trailers else encode.LAST_CHUNK)
        self._finish()

    def flush(self) -> None:
        """Send what is queued."""
        out = self._out
        if out:
            self.channel.transport.write(out[0] if len(out) == 1 else b"".join(out))
            out.clear()

    def stream_from(self, producer: Any) -> None:
        """Let ``producer`` be paused while the client takes no more; until :meth:`end`."""
        self._streaming = True
        self.channel.transport.registerProducer(producer, True)

    def unsent(self) -> int:
        """Return how many bytes wait because the client does not take them."""
        return int(getattr(self.channel.transport, "queued", 0))

    def answer(self, reply: Reply) -> None:
        """Answer with one of the balancer's own replies, and end the exchange."""
        if reply.reason or reply.status >= 400:
            self.record.reason, self.record.detail = reply.reason, reply.detail
        headers, body = replies.of_reply(reply, self.request_id, self.facts.header("accept") or "")
        self._out.clear()
        self._answer(reply.status, headers, body)

    def fail(self, error: ExchangeError) -> None:
        """Answer with an error page, or cut the connection if a response has begun."""
        if self.finished:
            return
        record = self.record
        record.reason, record.detail = error.reason.code, error.detail
        if self.responded:
            self.keep_alive = False
            self._out.clear()
            self._finish(abort=True)
            return
        if replies.ends_connection(error):
            self.keep_alive = False
        self._answer(error.reason.status, *replies.of_error(error, self.request_id, self.facts.header("accept") or ""))

    def _answer(self, status: int, headers: RawHeaders, body: bytes) -> None:
        try:
            self.respond(status, None, headers, None if status == 304 else len(body))
        except ExchangeError as error:  # of a filter's response part; each runs once, so this ends
            self.fail(error)
            return
        self.send(body)
        self.end()

    # Upgrades.

    @property
    def ended(self) -> bool:
        """Whether the client has said (with FIN) that it sends no more."""
        return self.channel.client_ended

    def upgrade(self, headers: RawHeaders, tunnel: Any) -> tuple[Any, bytes]:
        """Send a 101 and hand the connection to ``tunnel``; return the transport and what the client sent already."""
        self.responded = True
        self.record.status = 101
        self._out.append(encode.response_head(101, None, headers, b"\r\n"))
        self.flush()
        return self.channel.become_tunnel(tunnel)

    def no_upgrade(self) -> None:
        """The server did not switch protocols: what follows is HTTP."""
        self.channel.resume_after_upgrade()

    def tunnel_ended(self) -> None:
        """The tunnel is done; its record can be written."""
        self._finish()

    def gone(self) -> None:
        """The client closed before its response was complete."""
        if self.finished:
            return
        self.finished = True
        consumer, self.consumer = self.consumer, None
        record = self.record
        record.reason, record.detail = errors.CLIENT_GONE.code, "client went away"
        if not self.responded:
            record.status = errors.CLIENT_GONE.status
        if consumer is not None:
            consumer.client_went()
        note(self, self.site.now())

    def _finish(self, *, abort: bool = False) -> None:
        if self.finished:
            return
        self.finished = True
        self.consumer = None
        if self._streaming:  # before the last bytes: they must not pause a server's connection that serves others now
            self._streaming = False
            self.channel.transport.unregisterProducer()
        self.flush()
        note(self, self.site.now())
        self.channel.request_ended(self, abort)

    def __repr__(self) -> str:
        return f"<Request {self.head.method} {self.target} {self.request_id}>"
