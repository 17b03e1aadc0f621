"""Forwarding a gRPC call: an exchange whose outcome stands in its trailers, whose client says how long it waits.

What is different from other exchanges:

* ``grpc-timeout`` limits all of it, from the request's first byte on: when it is over, the server's stream is reset (CANCEL), and
  the client told DEADLINE_EXCEEDED. That is no fault of the server.
* ``grpc-status`` decides whether the server did well, as the HTTP status that comes closest to it would; a deadline that the
  client has chosen is its own doing.
* A status without any message before it may be retried, where the pool says so.
* A client that closes its half of a connection of HTTP/1.1 has left: there are no such clients that wait for the rest.
* A stream whose client says nothing for a while is as good as one whose server does: ``timeouts.idle`` limits both.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from balancer import errors
from balancer.errors import ExchangeError, Reason
from balancer.forwarding.attempts import DONE, SENDING, Connector
from balancer.forwarding.exchange import Forward
from balancer.model.headers import first
from balancer.pools.retry import GATEWAY_ERRORS
from balancer.wire.grpc import status as statuses
from balancer.wire.grpc.status import Status
from balancer.wire.grpc.timeout import parse_timeout

if TYPE_CHECKING:
    from balancer.forwarding.client_side import ClientSide, Limit
    from balancer.forwarding.server_side import ServerSide
    from balancer.forwarding.upgrades import Upgrades
    from balancer.pools.pool import Pool
    from balancer.pools.terms import Terms

__all__ = ["Call"]


class Call(Forward):
    """One call on its way through a pool."""

    __slots__ = ("_deadline",)

    def __init__(self, request: ClientSide, pool: Pool, connect: Connector, upgrades: Upgrades, terms: Terms) -> None:
        super().__init__(request, pool, connect, upgrades, terms)
        self._deadline: Limit | None = None

    def start(self) -> None:
        """Choose a server and begin; the client's deadline runs."""
        self._request.live()
        timeout = first(self._request.head.headers, b"grpc-timeout")
        super().start()
        seconds = parse_timeout(timeout) if timeout is not None else None
        if seconds is not None and self._phase != DONE:
            self._deadline = self._request.limit(seconds, self._too_late)

    def _send(self, connection: ServerSide, now: float) -> None:
        super()._send(connection, now)
        if self._streaming:
            connection.limit(self._terms.timeouts.idle)

    # The outcome.

    def response_came(self) -> None:
        """More of the response is in the reader: if it is nothing but a status, another server may do better."""
        if self._phase == SENDING:
            assert self._connection is not None
            reader = self._connection.reader
            if reader.head is not None and reader.body.ended and not reader.body.received:
                code = self._code()
                if code > 0 and self._may_retry(_answered(code)):
                    status = self._judged(code, 200)
                    self._retry(failed_connect=False, ok=status not in GATEWAY_ERRORS, status=status)
                    return
        super().response_came()

    def _code(self) -> int:
        """Return the status of a call whose response is complete."""
        assert self._connection is not None
        reader = self._connection.reader
        head = reader.head
        assert head is not None
        return statuses.of_response(head.status, head.plain, reader.body.trailers)

    def _part(self, status: int, now: float) -> None:
        code = self._record.grpc_status = self._code()
        status = self._judged(code, status)
        self._forget_deadline()
        super()._part(status, now)

    def _judged(self, code: int, status: int) -> int:
        """Return the HTTP status by which the server is judged that answered so."""
        if code == Status.DEADLINE_EXCEEDED and self._deadline is not None:
            return 200
        return statuses.to_http(code) if status == 200 else status

    # What can go wrong.

    def _too_late(self) -> None:
        """The client's deadline has passed."""
        self.client_went()
        self._fail(ExchangeError(errors.HTTP_RESPONSE_TIMEOUT, "the deadline of the client has passed"))

    def server_timed_out(self) -> None:
        """The server took too long, or neither side has anything to say any more."""
        if self._streaming and not self._request.unsent():
            self._leave_server(ok=True)
            self._fail(ExchangeError(errors.CONNECTION_READ_TIMEOUT, "nothing came from either side"))
        else:
            super().server_timed_out()

    def client_went(self) -> None:
        """The client gave up; the server need not go on."""
        self._forget_deadline()
        super().client_went()

    def _fail(self, error: ExchangeError) -> None:
        self._forget_deadline()
        super()._fail(error)

    def _forget_deadline(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.end()


@lru_cache(maxsize=100)
def _answered(code: int) -> Reason:
    name = Status(code).name.lower() if code in Status._value2member_map_ else "unknown"
    return Reason(f"grpc_{name}", 200, errors.Side.SERVER, True, f"The server answered {name.upper()}.")
