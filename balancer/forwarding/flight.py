"""One request to a server for many clients that ask the same: the client side of that exchange, made of all of theirs.

::

    boarding ──────────────> shared ────────────> over
       │  the head came,       │ what comes goes to all; the server is paused while no client takes more; for one that takes
       │  and may be shared    │ less than another so much is kept, and then it is cut
       │
       └── the head came, and is for one only: to the first; the others set out on their own

Whoever leaves, the exchange goes on while there is anybody else. A failure is everybody's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from balancer import errors
from balancer.errors import ExchangeError
from balancer.forwarding.client_side import BodyConsumer, ClientSide, Limit
from balancer.forwarding.sharing import Sharing, values
from balancer.model.headers import RawHeaders
from balancer.observe.records import ExchangeRecord
from balancer.wire.http1.responses import ResponseHead

if TYPE_CHECKING:
    from balancer.forwarding.ends import TunnelEnd
    from balancer.forwarding.tunnel import Tunnel

__all__ = ["Flight", "asked_with"]

_NOTED = ("server", "server_protocol", "queue", "connect", "first_byte")


def asked_with(request: Any) -> RawHeaders:
    """Return the fields that a request has, as filters left them."""
    headers: RawHeaders = request.facts.headers if request.exchange is None else request.exchange.headers
    return headers


class _Member:
    """One of the clients: told of by its request, and paused by its connection."""

    __slots__ = ("flight", "is_paused", "kept", "queue", "request")

    def __init__(self, flight: Flight, request: Any) -> None:
        self.flight = flight
        self.request = request
        self.is_paused = False
        self.queue: list[bytes] = []
        self.kept = 0
        request.consumer = self

    def body_came(self) -> None:
        """There is none."""

    def client_went(self) -> None:
        """The client closed its connection."""
        self.flight.left(self)

    def pauseProducing(self) -> None:
        """The client takes no more for now."""
        self.is_paused = True
        self.flight.looked_at()

    def resumeProducing(self) -> None:
        """It does again."""
        self.is_paused = False
        queue, self.queue, self.kept = self.queue, [], 0
        for piece in queue:
            self.request.send(piece)
        if queue:
            self.request.flush()
        self.flight.looked_at()

    def stopProducing(self) -> None:
        """It takes no more at all; it is said to have left besides."""


class Flight:
    """A :class:`~.client_side.ClientSide`.

    Args:
        first: the request that is sent.
        sharing: what may be shared.
        alone: sends a request that shares nothing after all.
        landed: called once no further client can come along.
    """

    is_held_back = False
    ended = False

    def __init__(self, first: Any, sharing: Sharing, alone: Callable[[Any], None], landed: Callable[[], None]) -> None:
        self.head, self.body, self.facts, self.exchange = first.head, first.body, first.facts, first.exchange
        self.target, self.request_id = first.target, first.request_id
        self.record = ExchangeRecord()
        self.consumer: BodyConsumer | None = None
        self._first: ClientSide = first
        self._booked: ClientSide = first
        """In whose record the attempts are."""
        self._sharing = sharing
        self._alone = alone
        self._landed: Callable[[], None] | None = landed
        self._members = [_Member(self, first)]
        self._producer: Any = None
        self._is_paused = False

    def board(self, request: Any) -> None:
        """Let another client have the answer too."""
        request.record.pool = self.record.pool
        request.record.coalesced = True
        self._members.append(_Member(self, request))

    def left(self, member: _Member) -> None:
        """A client is gone: with the last of them the exchange has no purpose."""
        if member not in self._members:
            return  # it has had its answer
        self._members.remove(member)
        if self._members:
            if member.request is self._booked:
                self._booked = self._members[0].request
                self._booked.record.coalesced = False
            self.looked_at()
            return
        self._land()
        consumer, self.consumer = self.consumer, None
        if consumer is not None:
            consumer.client_went()

    def _land(self) -> None:
        landed, self._landed = self._landed, None
        if landed is not None:
            landed()

    # The request, as the first said it; it has no body.

    def pauseProducing(self) -> None:
        """There is nothing to pause."""

    def resumeProducing(self) -> None:
        """There is nothing to come."""

    def stopProducing(self) -> None:
        """There is nothing to stop."""

    def take_body(self) -> list[bytes]:
        """Return nothing."""
        return []

    def plain_bytes(self) -> bytes | None:
        """Return the whole request, where nothing about it is out of the ordinary."""
        return self._first.plain_bytes()

    def outgoing_headers(self) -> RawHeaders:
        """Return the fields for the server."""
        return self._first.outgoing_headers()

    def limit(self, seconds: float, call: Callable[[], None]) -> Limit:
        """Call ``call()`` so many seconds after the first request's first byte."""
        return self._first.limit(seconds, call)

    # The response.

    def _sort_out(self, headers: RawHeaders) -> None:
        """Send those on their own for whom this answer is not; raises ExchangeError if that leaves nobody."""
        self._land()
        varies = self._sharing.varies(headers)
        asked = None if varies is None else values(asked_with(self._first), varies)
        stay: list[_Member] = []
        leave: list[_Member] = []
        for member in self._members:
            request = member.request
            same = request is self._first or (varies is not None and values(asked_with(request), varies) == asked)
            (stay if same else leave).append(member)
        self._members = stay
        for member in leave:
            member.request.consumer = None
            member.request.record.coalesced = False
            self._alone(member.request)
        if not stay:
            raise ExchangeError(errors.CLIENT_GONE)
        for member in stay:
            self._note(member)

    def _note(self, member: _Member) -> None:
        """Tell the record of a client what became of the exchange; only one has had attempts."""
        record = member.request.record
        for name in _NOTED:
            setattr(record, name, getattr(self.record, name))
        if member.request is self._booked:
            record.pool, record.attempts, record.hedged = self.record.pool, self.record.attempts, self.record.hedged

    def informational(self, status: int, headers: RawHeaders) -> None:
        """Pass on a 1xx."""
        for member in self._members:
            member.request.informational(status, headers)

    def respond(
        self,
        status: int,
        reason: bytes | None,
        headers: RawHeaders,
        length: int | None,
        block: bytes | None = None,
        version: str = "1.1",
    ) -> None:
        """Begin the response to all whom it is for."""
        self._sort_out(headers)
        wrong: ExchangeError | None = None
        for member in tuple(self._members):
            try:
                member.request.respond(status, reason, list(headers), length, block, version)
            except ExchangeError as error:  # of a filter, on this client's response
                wrong = error
                self._members.remove(member)
                member.request.fail(error)
        if not self._members and wrong is not None:
            raise wrong

    def pass_on(self, head: ResponseHead, body: bytes, now: float) -> None:
        """Answer with a whole response."""
        try:
            self._sort_out(head.plain)
        except ExchangeError:
            return  # nobody is there for it
        members, self._members = self._members, []
        for member in members:
            request = member.request
            if request.exchange is None:
                request.pass_on(head, body, now)
                continue
            try:
                request.respond(head.status, head.reason, list(head.plain), head.content_length, None, head.version)
            except ExchangeError as error:
                request.fail(error)
                continue
            request.send(body)
            request.end()

    def send(self, data: bytes) -> None:
        """Add to the response's body: at once for those that take it, else to what is kept for them."""
        for member in tuple(self._members):
            if not member.is_paused:
                member.request.send(data)
                continue
            member.queue.append(data)
            member.kept += len(data)
            if member.kept > self._sharing.buffer and len(self._members) > 1:
                self._members.remove(member)
                member.request.fail(ExchangeError(errors.CLIENT_TOO_SLOW, "others took the same answer much faster"))

    def end(self, trailers: RawHeaders | None = None) -> None:
        """Complete the response."""
        self._producer = None
        members, self._members = self._members, []
        for member in members:
            for piece in member.queue:
                member.request.send(piece)
            self._note(member)
            member.request.end(trailers)

    def flush(self) -> None:
        """Send what is queued."""
        for member in tuple(self._members):
            if not member.is_paused:
                member.request.flush()

    def fail(self, error: ExchangeError) -> None:
        """Tell all."""
        self._land()
        self._producer = None
        members, self._members = self._members, []
        for member in members:
            self._note(member)
            member.request.fail(error)

    def stream_from(self, producer: Any) -> None:
        """Let ``producer`` be paused while no client takes more."""
        self._producer = producer
        for member in tuple(self._members):
            member.request.stream_from(member)

    def looked_at(self) -> None:
        """Some client takes more, or no more: have the server say more while any does."""
        producer = self._producer
        paused = bool(self._members) and all(member.is_paused for member in self._members)
        if producer is None or paused is self._is_paused:
            return
        self._is_paused = paused
        if paused:
            producer.pauseProducing()
        else:
            producer.resumeProducing()

    def unsent(self) -> int:
        """Return how many bytes wait at the client that takes the most."""
        return min((member.request.unsent() for member in self._members), default=0)

    def live(self) -> None:
        """Clients that close their half have left."""
        for member in self._members:
            member.request.live()

    # Upgrades are not shared.

    def upgrade(self, protocol: bytes, headers: RawHeaders, tunnel: Tunnel) -> tuple[TunnelEnd, bytes]:
        """Not for many.

        Raises:
            ExchangeError: always.
        """
        raise ExchangeError(errors.HTTP_UPGRADE_FAILED)

    def tunnel_ended(self) -> None:
        """There is none."""

    def no_upgrade(self) -> None:
        """There was none."""
