"""The exchanges on one HTTP/2 connection: finds the one that each of the session's events is for.

What came in one read is told to an exchange at once, by :meth:`Exchanges.tell`: so a response that came whole is passed on whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from twisted.logger import Logger

from balancer.model.headers import RawHeaders

if TYPE_CHECKING:
    from balancer.errors import ExchangeError
    from balancer.forwarding.http2.stream import ServerStream
    from balancer.wire.http2.interface import Session

__all__ = ["Exchanges"]

_log = Logger()


class _Connection(Protocol):
    """What is the connection's own; :class:`~.connection.HTTP2Connection` is one."""

    session: Session

    def settings_came(self) -> None:
        """The server has said how many exchanges it takes."""

    def goaway_came(self, code: int) -> None:
        """The server takes no new exchanges."""


class Exchanges:
    """What a session tells (:class:`~balancer.wire.http2.interface.Told`), handed on.

    Args:
        connection: is told what concerns no exchange.
    """

    __slots__ = ("_connection", "_open", "came")

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._open: dict[int, ServerStream] = {}
        self.came: list[ServerStream] = []
        """Those that something came for which they were not told yet."""

    def add(self, exchange: ServerStream) -> None:
        """Hand on what comes for ``exchange`` from now on."""
        self._open[exchange.number] = exchange

    def remove(self, exchange: ServerStream) -> bool:
        """Do so no more; return whether it was done."""
        return self._open.pop(exchange.number, None) is not None

    def __len__(self) -> int:
        return len(self._open)

    # What came.

    def tell(self) -> None:
        """Tell every exchange what came for it since the last time."""
        came, self.came = self.came, []
        for exchange in came:
            _safely(exchange, exchange.tell)

    def room(self) -> None:
        """Tell every exchange that the connection takes bytes again."""
        for exchange in list(self._open.values()):
            _safely(exchange, exchange.room_came)

    def time_out(self, now: int) -> None:
        """Tell those whose time is up at the tick ``now``."""
        for exchange in [each for each in self._open.values() if each.due <= now]:
            _safely(exchange, exchange.timed_out)

    def fail(self, error: ExchangeError) -> None:
        """Have all fail with ``error``, once they are told that the connection is gone."""
        for exchange in self._open.values():
            exchange.failed(error)

    def lose(self) -> None:
        """Tell all that the connection is gone."""
        lost, self._open = self._open, {}
        for exchange in lost.values():
            exchange.lost()
            _safely(exchange, exchange.tell)

    # What the session tells.

    def response_came(self, stream: int, headers: RawHeaders, ended: bool) -> None:
        """For an exchange."""
        exchange = self._concerned(stream)
        if exchange is not None:
            exchange.response_came(headers, ended)

    def informational_came(self, stream: int, headers: RawHeaders) -> None:
        """For an exchange."""
        exchange = self._concerned(stream)
        if exchange is not None:
            exchange.informational_came(headers)

    def data_came(self, stream: int, data: bytes) -> None:
        """For an exchange, or one that is over."""
        exchange = self._concerned(stream)
        if exchange is not None:
            exchange.data_came(data)
        else:
            self._connection.session.took(stream, len(data))

    def stream_ended(self, stream: int, trailers: RawHeaders | None) -> None:
        """For an exchange."""
        exchange = self._concerned(stream)
        if exchange is not None:
            exchange.stream_ended(trailers)

    def stream_reset(self, stream: int, code: int) -> None:
        """For an exchange."""
        exchange = self._concerned(stream)
        if exchange is not None:
            exchange.stream_reset(code)

    def room_came(self, stream: int) -> None:
        """For an exchange."""
        exchange = self._open.get(stream)
        if exchange is not None:
            exchange.room_came()

    def settings_came(self) -> None:
        """For the connection."""
        self._connection.settings_came()

    def ping_answered(self, data: bytes) -> None:
        """The server lives; that something came was noted already."""

    def goaway_came(self, last_stream: int, code: int) -> None:
        """For the connection, and for exchanges that the server has not looked at."""
        self._connection.goaway_came(code)
        for number in self._open:
            if number > last_stream:
                exchange = self._concerned(number)
                assert exchange is not None
                exchange.not_taken()

    def request_came(self, stream: int, headers: RawHeaders, ended: bool) -> None:
        """Not from a server."""

    def _concerned(self, stream: int) -> ServerStream | None:
        """Return the exchange on ``stream``, which is to be told of what came when all is read."""
        exchange = self._open.get(stream)
        if exchange is not None and exchange.is_told:
            exchange.is_told = False
            self.came.append(exchange)
        return exchange


def _safely(exchange: ServerStream, call: Callable[[], None]) -> None:
    """Tell an exchange something; what fails there is nothing to the others."""
    try:
        call()
    except Exception:
        _log.failure("an exchange with {server} failed", server=exchange.server.name)
        exchange.broken()
