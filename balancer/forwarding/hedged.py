"""Exchanges that are sent to a second server when the first takes its time; who answers well first is heard.

::

                 the time is up                        the second answers well
    alone ───────────────────────────> racing ──────────────────────────────────> the second is the first now
      │                                 │   │ the first answers ─────────────────> the second is given up
      │ answered, failed, or there is   │   │ the first fails, or with 5xx ──────> the second is the first now
      │ no other server, no budget      │   └ the second fails, or with 5xx ─────> alone, for good
      ▼                                 ▼
     over: as without                  over

Who is given up is not blamed: its connection is closed, its stream reset. Only requests that may be sent twice are: idempotent, no
upgrade, the body all there and kept. Made only where the terms say so.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from balancer import errors
from balancer.errors import ExchangeError
from balancer.filters.trace import NOTE
from balancer.forwarding.attempts import CONNECTING, SENDING, Attempts
from balancer.forwarding.limited import LimitedForward
from balancer.forwarding.server_side import ServerSide
from balancer.observe.records import ExchangeRecord
from balancer.pools.hedging import Hedging
from balancer.pools.retry import GATEWAY_ERRORS, IDEMPOTENT

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from balancer.pools.server import Server
    from balancer.pools.terms import Cancellable

__all__ = ["LOST", "WON", "HedgedForward"]

LOST, WON = 1, 2
"""How a second attempt ended, in the record."""


class HedgedForward(LimitedForward):
    """One exchange that may become a race of two attempts."""

    __slots__ = ("_began", "_due_in", "_hedging", "_second")

    def start(self) -> None:
        """Choose a server and begin; the time until a second attempt runs from then on."""
        hedging = self._terms.hedge
        assert hedging is not None
        self._hedging: Hedging = hedging
        self._second: _Second | None = None
        self._due_in: Cancellable | None = None
        self._began = 0.0
        hedging.budget.requests += 1
        super().start()

    def _use(self, server: Server) -> None:
        if not self._began:
            self._began = time.monotonic()
            wait = self._hedging.wait
            request = self._request
            if wait is not None and self._method in IDEMPOTENT and request.head.upgrade is None:
                self._due_in = self._terms.later(wait, self._due)
        super()._use(server)

    def _due(self) -> None:
        """No first byte has come in time: begin the race, if that can be."""
        self._due_in = None
        connection = self._connection
        if (
            self._phase not in (CONNECTING, SENDING)
            or self._streaming
            or self._held
            or not self._request.body.ended
            or not self._can_replay()
            or self._pool.sticky is not None
            or (connection is not None and connection.reader.begun)
        ):
            return
        assert self._server is not None
        other = self._pool.choose(self._request.facts, [*self._tried, self._server])
        if other is None or not self._hedging.allow():
            return
        self._attempts += 1
        self._record.hedged = LOST
        exchange = self._request.exchange
        if exchange is not None and NOTE in exchange.notes:
            exchange.notes[NOTE].attempt(self._server.name, "hedge: no answer yet")
        second = self._second = _Second(self)
        second.begin(other)

    # What the second attempt tells.

    def second_answers(self, second: _Second) -> None:
        """It was faster, and its answer is good."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.cancel()
        self._leave_server(ok=True)
        self._take_over(second)
        self.response_came()

    def second_failed(self, server: Server | None) -> None:
        """It came to nothing."""
        self._second = None
        if server is not None:
            self._tried.append(server)

    def _take_over(self, second: _Second) -> None:
        """Go on with the second attempt as if it were the first."""
        self._second = None
        record, its = self._record, second.give()
        record.hedged = WON
        self._server, self._connection, self._pending, self._phase, self._since = its
        assert self._server is not None
        record.server = self._server.name
        if self._connection is not None:
            self._connection.owner = self
            record.server_protocol = self._connection.version
        record.connect = second.record.connect
        per_try = self._terms.timeouts.per_try
        if per_try:
            left = self._since + per_try - time.monotonic()
            self._trying = self._terms.later(max(0.0, left), self._try_out_of_time)

    # What the first attempt is told.

    def response_came(self) -> None:
        """More of the response is in the reader: the race is over, unless the second may do better."""
        if self._second is not None and self._phase == SENDING:
            assert self._connection is not None
            head = self._connection.reader.head
            if head is not None:
                if head.status >= 500:
                    self._fall_back(ok=head.status not in GATEWAY_ERRORS, status=head.status)
                    return
                self._end_race()
        super().response_came()

    def _attempt_failed(self, error: ExchangeError, *, connecting: bool = False) -> None:
        if self._second is not None:
            self._fall_back(ok=error.reason.side is not errors.Side.SERVER, failed_connect=connecting)
        else:
            super()._attempt_failed(error, connecting=connecting)

    def _fall_back(self, *, ok: bool, failed_connect: bool = False, status: int = 0) -> None:
        """The first attempt has failed: the second goes on alone."""
        second = self._second
        assert second is not None
        assert self._server is not None
        self._tried.append(self._server)
        self._leave_server(ok=ok, failed_connect=failed_connect, status=status)
        self._take_over(second)

    def hold(self) -> None:
        """Read nothing of the answer for now: nobody can say any more who is first."""
        self._end_race()
        super().hold()

    # The ends.

    def _part(self, status: int, now: float) -> None:
        if self._record.first_byte >= 0.0:
            self._hedging.note(self._since - self._began + self._record.first_byte)
        super()._part(status, now)

    def _end_limits(self) -> None:
        super()._end_limits()
        due, self._due_in = self._due_in, None
        if due is not None:
            due.cancel()
        self._end_race()

    def _end_race(self) -> None:
        second, self._second = self._second, None
        if second is not None:
            second.client_went()


class _Second(Attempts):
    """The second attempt, which tells the first how it goes; in a record of its own, until it is the first."""

    __slots__ = ("_first", "_given")

    def __init__(self, first: HedgedForward) -> None:
        super().__init__(first._request, first._pool, first._connect, first._terms)
        self._record = ExchangeRecord()
        self._replay = first._replay
        self._first = first
        self._given = False

    @property
    def record(self) -> ExchangeRecord:
        """What it has come to so far."""
        return self._record

    def begin(self, server: Server) -> None:
        """Ask ``server``."""
        self._pool.begin(server)
        self._use(server)

    def give(
        self,
    ) -> tuple[Server | None, ServerSide | None, Cancellable | None, int, float]:
        """Let the first have the server, the connection or the wait for one, how far it is and since when."""
        self._given = True
        return self._server, self._connection, self._pending, self._phase, self._since

    def _send(self, connection: ServerSide, now: float) -> None:
        request = self._request
        head, body, exchange = request.head, request.body, request.exchange
        self._connection = connection
        self._phase = SENDING
        self._since = now
        connection.limit(self._terms.timeouts.first_byte)
        data = request.plain_bytes() if connection.plain else None
        if data is not None:
            connection.send_plain(self, head.method, data)
        elif exchange is not None and exchange.body is not None:
            whole, headers = exchange.body, request.outgoing_headers()
            connection.send(self, exchange.method, exchange.target, headers, head, len(whole), [whole], None)
        else:
            method, target, length = head.method, request.target, head.content_length
            if exchange is not None:
                method, target = exchange.method, exchange.target
                if exchange.changes_request:
                    length = None
            assert self._replay is not None
            headers = request.outgoing_headers()
            connection.send(self, method, target, headers, head, length, list(self._replay), body)

    def _connected(self, connection: ServerSide) -> None:
        if self._given:
            self._first._connected(connection)
        else:
            super()._connected(connection)

    def _not_connected(self, failure: Failure) -> None:
        if self._given:
            self._first._not_connected(failure)
        else:
            super()._not_connected(failure)

    # The answer, as far as it matters here.

    def response_came(self) -> None:
        """More of the response is in the reader."""
        assert self._connection is not None
        head = self._connection.reader.head
        if head is None:
            return  # of 1xx, the first passes on its own; these are kept until this is the first
        if head.status < 500:
            self._first.second_answers(self)
        else:
            self._end(ok=head.status not in GATEWAY_ERRORS, status=head.status)

    def server_failed(self, error: ExchangeError) -> None:
        """The connection broke; one that was kept may have been closed long before."""
        assert self._connection is not None
        kept = self._connection.used > 1 and not self._connection.reader.begun
        self._end(ok=kept or error.reason.side is not errors.Side.SERVER)

    def server_timed_out(self) -> None:
        """It is as slow."""
        self._end(ok=False)

    def _attempt_failed(self, error: ExchangeError, *, connecting: bool = False) -> None:
        self._end(ok=error.reason.side is not errors.Side.SERVER, failed_connect=connecting)

    def _end(self, *, ok: bool, failed_connect: bool = False, status: int = 0) -> None:
        server = self._server
        self._leave_server(ok=ok, failed_connect=failed_connect, status=status)
        self._first.second_failed(server)

    def _fail(self, error: ExchangeError) -> None:
        self._first.second_failed(None)
