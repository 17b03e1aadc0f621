"""One request on a stream of HTTP/2, and the response to it: how :class:`~..http.client_request.ClientRequest` says things there.

The head of a response waits for the first piece of the body, or for the end: a response without a body is one frame. What is
sent is queued in the session as far as the client's windows do not allow it; :data:`HIGH_WATER` bytes there, or a connection
that is full or has too much of all its responses (:mod:`.backlog`), pause whoever produces the response::

    server ── send ──> session (queued) ── flush ──> transport
      ▲  ▲               │ room came        ▲            │ full, drained
      │  └── paused ◄────┴──────────────────┴────────────┘
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from balancer.forwarding.attempts import Attempts
from balancer.forwarding.headers import VIA, Arrival, with_hsts
from balancer.listeners.http.client_request import NO_BODY, ClientRequest
from balancer.listeners.http.held import held
from balancer.listeners.http.recording import note
from balancer.listeners.http.site import Site
from balancer.model.facts import RequestFacts
from balancer.model.headers import RawHeaders
from balancer.wire.http1.body import Body
from balancer.wire.http1.heads import RequestHead
from balancer.wire.http1.responses import ResponseHead
from balancer.wire.http2.heads import response_fields
from balancer.wire.http2.interface import LOW_WATER, Repeated

if TYPE_CHECKING:
    from balancer.forwarding.tunnel import Tunnel
    from balancer.listeners.http2.channel import HTTP2Channel
    from balancer.listeners.http2.stream_end import StreamEnd

__all__ = ["HIGH_WATER", "StreamRequest"]

HIGH_WATER = LOW_WATER
"""Bytes of a response that may wait for the client's windows before who produces it is paused: what is read at once comes on top."""


class StreamRequest(ClientRequest):
    """A request on ``stream``; the client side of its exchange."""

    __slots__ = (
        "_fields",
        "_held",
        "_measured",
        "_owed",
        "_paused",
        "_producer",
        "_pulled",
        "seen",
        "seen_at",
        "stream",
    )

    channel: HTTP2Channel
    end_of_tunnel: StreamEnd | None = None
    """What an extended CONNECT may become, which has no body; None for every other request."""
    tunnel: Tunnel | None = None
    """What it has become."""

    def __init__(
        self,
        channel: HTTP2Channel,
        stream: int,
        head: RequestHead,
        body: Body,
        facts: RequestFacts,
        arrival: Arrival,
        site: Site,
        request_id: str,
        started_at: float,
    ) -> None:
        ClientRequest.__init__(self, channel, head, body, facts, arrival, site, request_id, started_at)
        self.stream = stream
        self._fields: RawHeaders | None = None  # of a response that has begun, until they are given to the session
        self._measured = False  # the response has said how many bytes its body has
        self._producer: Any = None
        self._pulled = False  # the producer is asked for each piece
        self._paused = False  # the producer is
        self._held = False  # no more of the body is wanted for now …
        self._owed = 0  # … and so many bytes that were taken still count against the client's window
        self.seen = 0  # bytes of the body at the last look …
        self.seen_at = started_at  # … and when that was
        self.record.head = 0.0
        self.record.h2_stream = stream

    # The request.

    def taken(self, size: int) -> None:
        """Somebody has taken so many bytes of the body."""
        if self._held:
            self._owed += size
        else:
            self.channel.took(self.stream, size)

    def release(self) -> None:
        """Nobody takes the body any more: what is here of it counts no more against the client's window."""
        self.resumeProducing()
        if self.body.pending:
            self.body.take()

    @property
    def is_held(self) -> bool:
        """Whether it is us who keep the client from sending more of the body."""
        return self._held or self.body.pending > 0

    def pauseProducing(self) -> None:
        """Give the client no more room for its body for now."""
        self._held = True

    def resumeProducing(self) -> None:
        """Take more of the body."""
        if self._held:
            self._held = False
            owed, self._owed = self._owed, 0
            if owed:
                self.channel.took(self.stream, owed)

    def stopProducing(self) -> None:
        """The server takes no more: what still comes is thrown away."""
        self.resumeProducing()

    def be_the_last(self) -> None:
        """Streams are told apart whatever is on them: the others go on."""

    # The response.

    def informational(self, status: int, headers: RawHeaders) -> None:
        """Pass on a 1xx."""
        if not self.responded and status != 101:
            self.channel.session.inform(self.stream, response_fields(status, headers))
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
        """Begin the response; see :meth:`.ClientRequest.respond`. There are no reason phrases in HTTP/2."""
        exchange = self.exchange
        if exchange is not None:
            status, headers = self._filtered(exchange, status, headers, length)
            if exchange.changes_response:
                length = None
        self.responded = True
        self.record.status = status
        policy = self.site.policy
        if policy.hsts:
            headers = with_hsts(headers, policy.hsts)
        fields = response_fields(status, headers)
        if status in NO_BODY or status < 200:
            self._silent = True
            if status != 304:
                length = None
        elif self.head.method == "HEAD":
            self._silent = True
        if length is not None:
            self._measured = True
            fields.append((b"content-length", b"%d" % length))
        if policy.via:
            fields.append((b"via", VIA[version]))
        self._fields = fields

    def pass_on(self, head: ResponseHead, body: bytes, now: float) -> None:
        """Answer with a server's whole response, one that says its length, and end the exchange; for one without filters.

        The same as :meth:`respond`, :meth:`send` and :meth:`end`, made of what is the same each time that the server repeats the
        head.
        """
        if self.head.method == "HEAD" or head.status in NO_BODY or not self.body.ended:
            self.respond(head.status, head.reason, head.plain, head.content_length, head.block, head.version)
            self.send(body)
            self.end()
            return
        policy = self.site.policy
        listed = head.listed
        if listed is None or listed[0] is not policy:
            headers = with_hsts(head.plain, policy.hsts) if policy.hsts else head.plain
            fields = response_fields(head.status, headers)
            fields.append((b"content-length", b"%d" % (head.content_length or 0)))
            if policy.via:
                fields.append((b"via", VIA[head.version]))
            listed = head.listed = (policy, Repeated(fields))
        last = (b"x-request-id", self.request_id.encode("ascii")) if policy.request_id else None
        record = self.record
        record.status = head.status
        record.bytes_out = len(body)
        self.responded = self.finished = True
        self.consumer = None
        channel, stream = self.channel, self.stream
        session = channel.session
        if body:
            session.respond(stream, listed[1], last=last)
            session.send(stream, body, ended=True)
            if len(body) > HIGH_WATER:
                channel.backlog.look()
        else:
            session.respond(stream, listed[1], ended=True, last=last)
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
        session, stream = self.channel.session, self.stream
        if self._fields is not None:
            self._begin(ended=False)
        session.send(stream, data)
        if self._streaming:
            if not self._paused and session.queued(stream) > HIGH_WATER:
                self.pause()
                self.channel.backlog.look()
        elif len(data) > HIGH_WATER:
            self.channel.backlog.look()

    def _take_back(self) -> bool:
        if self._fields is None:
            return False
        self._fields = None
        return True

    def _begin(self, *, ended: bool) -> None:
        """Give the session the head that has waited."""
        fields, self._fields = self._fields, None
        assert fields is not None
        last = (b"x-request-id", self.request_id.encode("ascii")) if self.site.policy.request_id else None
        self.channel.session.respond(self.stream, fields, ended=ended, last=last)

    def end(self, trailers: RawHeaders | None = None) -> None:
        """Complete the response, and send what is queued."""
        if self.held_until is not None and held(self, trailers):
            return
        if self._transform is not None and not self._silent:
            trailers = self._end_transform(trailers)
            if self.finished:
                return
        session, stream = self.channel.session, self.stream
        if trailers:
            trailers = response_fields(200, trailers)[1:]
        if self._fields is not None:
            if self._silent or not trailers:
                self._begin(ended=True)
                self._finish()
                return
            self._begin(ended=False)
        if not self._silent:
            session.end(stream, trailers)
        self._finish()

    def flush(self) -> None:
        """Send what is queued, with what others have to send."""
        if self._fields is not None and not self.finished and self.held_until is None:
            self._begin(ended=self._silent)
        self.channel.has_output()

    def stream_from(self, producer: Any, streaming: bool = True) -> None:
        """Let ``producer`` be paused while the client takes no more, or be asked for each piece; until :meth:`end`."""
        self._streaming = True
        self._producer = producer
        self._paused = False
        self._pulled = not streaming
        self.channel.streaming.add(self)
        if self._pulled:
            self.channel.pull_soon()
        elif self._is_over_full():
            self.pause()

    def stop_streaming(self) -> None:
        """Forget the producer; one that was paused has nobody to wait for any more."""
        if self._streaming:
            producer = self._producer
            self.forget_producer()
            if self._paused and not self._pulled:
                producer.resumeProducing()

    def forget_producer(self) -> None:
        """Forget the producer, and leave it as it is."""
        self._streaming = False
        self._producer = None
        self.channel.streaming.discard(self)

    def pause(self) -> None:
        """Ask the producer for nothing more, for now."""
        if not self._paused:
            self._paused = True
            if not self._pulled:
                self._producer.pauseProducing()

    def room_came(self) -> None:
        """More can be sent."""
        if self._paused and not self._is_over_full():
            self._paused = False
            if self._pulled:
                self.channel.pull_soon()
            else:
                self._producer.resumeProducing()

    def pull(self) -> None:
        """Ask a producer that wants to be asked for the next piece, if there is room for it."""
        if not self._pulled or self._paused or not self._streaming:
            return
        if self._is_over_full():
            self._paused = True
            self.channel.backlog.look()
            return
        self.channel.pull_soon()
        self._producer.resumeProducing()

    def _is_over_full(self) -> bool:
        channel = self.channel
        backlog = channel.backlog
        return (
            channel.is_full
            or (backlog.is_clogged and backlog.going is not self and self.tunnel is None)
            or channel.session.queued(self.stream) > HIGH_WATER
        )

    def hold(self) -> None:
        """The client takes no more of anything for now: nothing is to be read for this response, be it its beginning."""
        if self._streaming:
            if self._is_over_full():  # tunnels wait for their own windows only
                self.pause()
        elif isinstance(self.consumer, Attempts):
            self.consumer.hold()

    def go_on(self) -> None:
        """It does again."""
        if self._streaming:
            self.room_came()
        elif isinstance(self.consumer, Attempts):
            self.consumer.go_on()

    @property
    def is_held_back(self) -> bool:  # type: ignore[override]  # a constant for who has one answer at a time to take
        """Whether the server is to wait with its answer, as the client does not take what it has."""
        return self.channel.backlog.holds(self)

    def unsent(self) -> int:
        """Return how many bytes wait because the client does not take them."""
        return self.channel.session.queued(self.stream) + (self.channel.unsent() if self.channel.is_full else 0)

    def watch(self) -> None:
        """Nothing to do: the channel watches every stream."""

    def cut(self) -> None:
        """Reset the stream."""
        self.channel.cut(self)

    def gone(self, reason: Failure = connectionDone) -> None:
        """The stream, or its connection, was ended by the client before the response was complete."""
        producer = self._producer
        self.forget_producer()
        super().gone()
        if producer is not None:
            producer.stopProducing()

    def _end_call(self, fields: RawHeaders) -> bool:
        if self._measured or self._silent:
            return False
        self.end(fields)
        return True

    def _forget_unsent(self) -> None:
        self._fields = None

    def live(self) -> None:
        """A stream of events is no different: a client that leaves resets its stream, or ends its half, and is gone."""

    # Upgrades: there are none in HTTP/2; what comes instead (RFC 8441) is in :mod:`.stream_end`.

    @property
    def ended(self) -> bool:
        """Whether the client has said that it sends no more."""
        return self.body.ended

    def no_upgrade(self) -> None:
        """Nothing was held up for an upgrade."""
