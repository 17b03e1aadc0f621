"""One request in the hands of a listener, whichever version of HTTP its client speaks: what is served, logged and refused.

::

    ClientRequest ── what the walk, filters, resources, records and error pages need
      ├── http.request.Request            how HTTP/1.x says it: one after the other on a connection
      └── http2.request.StreamRequest     how HTTP/2 says it: a stream of many

The request costs only what it is asked for: facts are derived lazily, and what :class:`~twisted.web.iweb.IRequest` wants is
made (:mod:`.rendering`) when a resource that is not ours adapts it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.web.iweb import IRequest
from zope.interface import classImplements
from zope.interface.interface import InterfaceClass

from balancer.compiled import mypyc_attr
from balancer.errors import ExchangeError
from balancer.filters.chain import run_responses
from balancer.forwarding.client_side import BodyConsumer
from balancer.forwarding.headers import Arrival, outgoing, request_frame
from balancer.listeners.http import replies
from balancer.listeners.http.recording import note, note_gone
from balancer.listeners.http.site import Site
from balancer.model.decision import Decision
from balancer.model.exchange import Exchange, Reply, Transform
from balancer.model.facts import RequestFacts
from balancer.model.headers import RawHeaders
from balancer.net.timers import Entry
from balancer.observe.records import ExchangeRecord
from balancer.wire.grpc.status import is_grpc, of_error, of_reply, of_response, trailers
from balancer.wire.http1.body import Body
from balancer.wire.http1.heads import RequestHead

__all__ = ["NO_BODY", "ClientRequest"]

NO_BODY = frozenset([204, 304])  # statuses whose responses have no body


@mypyc_attr(allow_interpreted_subclasses=True)
class ClientRequest:
    """The client side of an exchange.

    Args:
        channel: the client's connection.
        head: its head.
        body: its body, as far as it has come.
        facts: what is known of it.
        arrival: the connection it came on.
        site: what it is served by.
        request_id: its name in logs.
        started_at: when its first byte came, by the site's clock.
    """

    __slots__ = (
        "_rendered",
        "_silent",
        "_streaming",
        "_taken_whole",
        "_transform",
        "arrival",
        "body",
        "channel",
        "consumer",
        "decision",
        "exchange",
        "facts",
        "finished",
        "head",
        "held_until",
        "host",
        "record",
        "request_id",
        "responded",
        "site",
        "started_at",
        "target",
    )

    channel: Any
    _take_back: Callable[[], bool]  # forgets the response's head, and returns True, if it has not been sent yet
    is_held_back = False

    def __init__(
        self,
        channel: Any,
        head: RequestHead,
        body: Body,
        facts: RequestFacts,
        arrival: Arrival,
        site: Site,
        request_id: str,
        started_at: float,
    ) -> None:
        self.channel = channel
        self.head = head
        self.body = body
        self.facts = facts
        self.arrival = arrival
        self.site = site
        self.request_id = request_id
        self.target = facts.target
        self.host = head.host
        self.exchange: Exchange | None = None
        self.decision: Decision | None = None
        self.consumer: BodyConsumer | None = None
        self.responded = self.finished = False
        self._silent = False
        self._streaming = False
        self._taken_whole = False  # nothing of the body is left to take
        self._transform: Transform | None = None  # of the response's body
        self.held_until: Callable[[], Any] | None = None  # while nothing of the response may be sent
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
        if self.exchange is not None or arrival.trusted:
            return None
        policy, block = self.site.policy, arrival.block
        frame = head.frame
        if frame is None or frame[0] is not policy or frame[3] is not block:
            if head.content_length is not None or head.chunked or head.expect_continue or head.upgrade is not None:
                return None
            frame = head.frame = (policy, *request_frame(head, self.target, self.host, arrival, policy), block)
        after = frame[2]
        return frame[1] + self.request_id.encode("ascii") + after if after else frame[1]

    @property
    def is_call(self) -> bool:
        """Whether it is a call of gRPC; noted in the record, where that is not yet known."""
        record = self.record
        if not record.grpc and self.head.method == "POST" and is_grpc(self.head.headers):
            record.grpc = True
        return record.grpc

    def take_body(self) -> list[bytes]:
        """Return, and forget, the pieces of the body that are here, as filters want it.

        Raises:
            ExchangeError: it is not what a filter was told that it is.
        """
        body = self.body
        pieces = body.take()
        exchange = self.exchange
        if exchange is None or exchange.request_transform is None:
            return pieces
        transform = exchange.request_transform
        pieces = [changed for piece in pieces if (changed := transform.feed(piece))]
        if body.ended and not self._taken_whole:
            self._taken_whole = True
            rest, body.trailers = transform.end(body.trailers)
            if rest:
                pieces.append(rest)
        return pieces

    def invite_body(self) -> None:
        """Tell a client that waits for it to send the body (``100 Continue``): it will be read here."""
        if self.head.expect_continue and not self.body.received:
            self.head.expect_continue = False
            self.informational(100, [])

    def pauseProducing(self) -> None:
        """Take no more of the body from the client for now."""
        raise NotImplementedError

    def resumeProducing(self) -> None:
        """Take more of the body."""
        raise NotImplementedError

    def stopProducing(self) -> None:
        """The server takes no more: what still comes is thrown away."""
        raise NotImplementedError

    def be_the_last(self) -> None:
        """What follows on the connection may be meant for somebody else: it is not read as a request."""
        raise NotImplementedError

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
        raise NotImplementedError

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
            block: ``headers`` as HTTP/1.1 has them on the wire, where that is known.
            version: of HTTP in which it was received.

        Raises:
            ExchangeError: if a filter that must have its say on the response failed; nothing has begun then.
        """
        raise NotImplementedError

    def _filtered(
        self, exchange: Exchange, status: int, headers: RawHeaders, length: int | None
    ) -> tuple[int, RawHeaders]:
        """Return status and fields as the filters of ``exchange`` leave them."""
        exchange.status, exchange.response_length, exchange.hold = status, length, None
        exchange.response_headers = list(headers)
        run_responses(exchange)
        self._transform, self.held_until = exchange.response_transform, exchange.hold
        return exchange.status, exchange.response_headers

    def send(self, data: bytes) -> None:
        """Add to the response's body."""
        raise NotImplementedError

    def end(self, trailers: RawHeaders | None = None) -> None:
        """Complete the response, and send what is queued."""
        raise NotImplementedError

    def flush(self) -> None:
        """Send what is queued."""
        raise NotImplementedError

    def stream_from(self, producer: Any, streaming: bool = True) -> None:
        """Let ``producer`` be paused while the client takes no more, or be asked for each piece; until :meth:`end`."""
        raise NotImplementedError

    def stop_streaming(self) -> None:
        """Forget the producer of :meth:`stream_from`."""
        raise NotImplementedError

    def watch(self) -> None:
        """Give up the client if it stops taking the answer, which it gets here: no server side limits that."""
        raise NotImplementedError

    def cut(self) -> None:
        """End the exchange as it is."""
        raise NotImplementedError

    def _forget_unsent(self) -> None:
        """Drop what is queued of a response."""
        raise NotImplementedError

    def limit(self, seconds: float, call: Callable[[], None]) -> Entry:
        """Call ``call()`` so many seconds after the request's first byte, unless that is ended before."""
        entry: Entry = self.channel.wheel.schedule(max(0.0, self.started_at + seconds - self.site.now()), call)
        return entry

    def answer(self, reply: Reply) -> None:
        """Answer with one of the balancer's own replies, and end the exchange."""
        if reply.reason or reply.status >= 400:
            self.record.reason, self.record.detail = reply.reason, reply.detail
        self._forget_unsent()
        if reply.cut:
            self.record.status = reply.status
            self._finish(abort=True)
            return
        if self.is_call and not is_grpc(reply.headers):
            code, message = of_reply(reply.status, reply.detail)
            self.record.grpc_status = code
            self._answer(200, replies.of_reply_to_call(reply, trailers(code, message)), b"")
            return
        if self.is_call:
            self.record.grpc_status = of_response(reply.status, reply.headers, None)
        headers, body = replies.of_reply(reply, self.request_id, self.facts.header("accept") or "")
        self._answer(reply.status, headers, body)

    def fail(self, error: ExchangeError) -> None:
        """Answer with an error page, or cut the connection if a response has begun."""
        if self.finished:
            return
        record = self.record
        record.reason, record.detail = error.reason.code, error.detail
        is_call = self.is_call
        if is_call:
            code, message = of_error(error)
            record.grpc_status = code
            said = trailers(code, message)
            if self.responded and self._end_call(said):
                return
        if self.responded:
            self.be_the_last()
            self._forget_unsent()
            self._finish(abort=True)
            return
        if replies.ends_connection(error):
            self.be_the_last()
        if is_call:
            self._answer(200, replies.of_error_to_call(error, said), b"")
            return
        self._answer(error.reason.status, *replies.of_error(error, self.request_id, self.facts.header("accept") or ""))

    def _end_call(self, fields: RawHeaders) -> bool:
        """End a call whose response has begun with ``fields`` as trailers; return whether that can be done."""
        if self._transform is None or self._silent:
            return False
        self.end(fields)  # the transform says them in the body
        return True

    def _end_transform(self, trailers: RawHeaders | None) -> RawHeaders | None:
        """Send what the response's transform has still to say; return the trailers that follow."""
        transform, self._transform = self._transform, None
        assert transform is not None
        try:
            rest, trailers = transform.end(trailers)
        except ExchangeError as error:
            self.refuse(error)
            return None
        self.send(rest)
        return trailers

    def _changed(self, transform: Transform, data: bytes) -> bytes:
        """Return what becomes of a piece of the response's body."""
        try:
            return transform.feed(data)
        except ExchangeError as error:
            self.refuse(error)
            return b""

    def refuse(self, error: ExchangeError) -> None:
        """A response cannot be changed as it must: the client gets an error page, or no more of it if it has begun to get it."""
        self._transform = None
        consumer, self.consumer = self.consumer, None
        if consumer is not None:
            consumer.client_went()
        if self._take_back() and self.exchange is not None:
            self.responded, self.exchange.response_transform = False, None
        self.fail(error)
        self._silent = True  # whoever is sending goes on for a while

    def _answer(self, status: int, headers: RawHeaders, body: bytes) -> None:
        try:
            self.respond(status, None, headers, None if status == 304 else len(body))
        except ExchangeError as error:  # of a filter's response part; each runs once, so this ends
            self.fail(error)
            return
        self.send(body)
        self.end()

    def gone(self) -> None:
        """The client closed before its response was complete."""
        if self.finished:
            return
        self.finished = True
        consumer, self.consumer = self.consumer, None
        note_gone(self.record, self.responded)
        if consumer is not None:
            consumer.client_went()
        note(self, self.site.now())

    def _finish(self, *, abort: bool = False) -> None:
        if self.finished:
            return
        self.finished = True
        self.consumer = None
        if self._streaming:  # before the last bytes: they must not pause a server's connection that serves others now
            self.stop_streaming()
        self.flush()
        note(self, self.site.now())
        self.channel.request_ended(self, abort)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.head.method} {self.target} {self.request_id}>"


classImplements(ClientRequest, IPushProducer)
