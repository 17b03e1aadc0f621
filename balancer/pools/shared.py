"""Connections to one server that carry many exchanges at a time (HTTP/2), and who waits for one that is being made.

::

    decide ──> the least loaded connection with room ──> exchange() begins one on it
      │ none has room
      ├──> an opening that has promised less than it will have: join it ──> opened: an exchange for each who waits
      └──> nothing: open one, and join that                            └──> failed: told to all who wait

:class:`SharedConnections` decides and does no I/O: who asks opens what is wanting, and tells how that came out. So a burst
of requests opens as many connections as it needs, not one for each request; room that comes free meanwhile goes to those
who wait. What is open beyond need is closed: from time to time it is looked whether fewer connections would have carried all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

__all__ = ["HTTP2Settings", "Opening", "SharedConnection", "SharedConnections"]

_WINDOW = 10.0
"""Seconds after which it is looked whether fewer connections would do."""


@dataclass(frozen=True, slots=True)
class HTTP2Settings:
    """How connections of HTTP/2 are used: at most ``streams`` exchanges at a time on each; times in seconds.

    A connection on which nothing comes for ``ping_interval`` while exchanges wait is asked for a sign of life, and given up
    if there is none within ``ping_timeout``; an interval of 0 asks never.
    """

    streams: int = 100
    ping_interval: float = 30.0
    ping_timeout: float = 10.0


class SharedConnection(Protocol):
    """A connection that carries up to ``capacity`` exchanges at a time, and ``streams`` now."""

    streams: int
    capacity: int
    expires: float

    def exchange(self) -> Any:
        """Begin an exchange, and return the server side of it."""

    def retire(self) -> None:
        """Take no new exchanges, and close when the last is over."""


class Opening:
    """A connection that is being made, and who waits for an exchange on it."""

    __slots__ = ("_expected", "cancel", "waiting")

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self.waiting: list[Deferred[Any]] = []
        self.cancel: Callable[[], object] | None = None
        """Gives up the attempt; set by who makes it."""

    @property
    def has_room(self) -> bool:
        """Whether it is likely to carry one exchange more than wait for it."""
        return len(self.waiting) < self._expected

    def take(self) -> list[Deferred[Any]]:
        """Return, and forget, those who wait."""
        waiting, self.waiting = self.waiting, []
        return waiting

    def __repr__(self) -> str:
        return f"<Opening {len(self.waiting)} wait>"


class SharedConnections:
    """The shared connections to one server. Not for I/O: see the module.

    Args:
        settings: how they are used.
    """

    __slots__ = (
        "_connections",
        "_expected",
        "_openings",
        "_peak",
        "_until",
        "closed",
        "in_flight",
        "settings",
        "unshared",
    )

    def __init__(self, settings: HTTP2Settings) -> None:
        self.settings = settings
        self.closed = False
        self.in_flight = 0
        """Exchanges on all connections, those that take no new ones included."""
        self.unshared = False
        """Whether the server speaks HTTP/1.1, which was found out by asking: nobody waits for others' connections then."""
        self._connections: list[SharedConnection] = []
        self._openings: list[Opening] = []
        self._expected = settings.streams
        self._peak = 0  # the most exchanges at a time since the last look
        self._until = 0.0

    def take(self, now: float) -> Any:
        """Return the server side of an exchange that begins, None if no connection has room; ``now`` in the clock of ``expires``."""
        connections = self._connections
        best, least = None, 1 << 30
        for connection in connections:
            streams = connection.streams
            if streams < least and streams < connection.capacity:
                if connection.expires <= now:
                    connections.remove(connection)
                    connection.retire()
                    return self.take(now)
                best, least = connection, streams
        return None if best is None else best.exchange()

    def decide(self, now: float) -> Any:
        """Return an exchange that begins, an :class:`Opening` to wait for, or None where a connection is to be opened."""
        found = self.take(now)
        if found is None and not self.unshared:
            return next((opening for opening in self._openings if opening.has_room), None)
        return found

    @property
    def is_opening(self) -> bool:
        """Whether who comes next waits for a connection that is being made for others."""
        return not self.unshared and any(opening.has_room for opening in self._openings)

    @property
    def ready(self) -> bool:
        """Whether there is a connection with room for one exchange more."""
        return any(connection.streams < connection.capacity for connection in self._connections)

    @property
    def idle(self) -> bool:
        """Whether there is a connection that carries nothing."""
        return any(not connection.streams for connection in self._connections)

    # Making connections.

    def open(self) -> Opening:
        """Note that a connection is being made, for others to wait for as well."""
        opening = Opening(1 if self.unshared else self._expected)
        self._openings.append(opening)
        return opening

    def wait(self, opening: Opening) -> Deferred[Any]:
        """Return what fires with the server side of an exchange; when all who wait have cancelled, the attempt is given up."""
        waiting: Deferred[Any] = Deferred(self._cancelled)
        opening.waiting.append(waiting)
        return waiting

    def _cancelled(self, waiting: Deferred[Any]) -> None:
        for opening in self._openings:  # it may wait for another than it did at first
            if waiting in opening.waiting:
                opening.waiting.remove(waiting)
                if not opening.waiting and opening.cancel is not None:
                    opening.cancel()
                return

    def opened(self, opening: Opening, connection: SharedConnection) -> list[Deferred[Any]]:
        """Take ``connection`` into use, and return those who waited for it and have no room: :meth:`decide` anew for them."""
        self.unshared = False
        self._openings.remove(opening)
        self._connections.append(connection)
        self._expected = max(1, connection.capacity)
        left = opening.take()
        while left and connection.streams < connection.capacity and connection in self._connections:
            left.pop(0).callback(connection.exchange())
        if self.closed and self.forget(connection):
            connection.retire()
        return left

    def is_unshared(self, opening: Opening) -> list[Deferred[Any]]:
        """Note that the connection made speaks HTTP/1.1, and return those who waited for it."""
        self.unshared = True
        self._openings.remove(opening)
        return opening.take()

    def failed(self, opening: Opening, failure: Failure) -> None:
        """Note that a connection could not be made, and tell those who waited for it."""
        self._openings.remove(opening)
        for waiting in opening.take():
            waiting.errback(failure)

    # What connections say.

    def began(self) -> None:
        """An exchange has begun."""
        self.in_flight += 1
        if self.in_flight > self._peak:
            self._peak = self.in_flight

    def ended(self, connection: SharedConnection, now: float) -> None:
        """An exchange is over."""
        self.in_flight -= 1
        if self._openings:
            self.has_room(connection)
        if now >= self._until:
            self._look(now)

    def has_room(self, connection: SharedConnection) -> None:
        """Give the room on ``connection`` to those who wait for another that is being made."""
        if connection not in self._connections:
            return
        for opening in self._openings:
            while opening.waiting and connection.streams < connection.capacity:
                opening.waiting.pop(0).callback(connection.exchange())

    def forget(self, connection: SharedConnection) -> bool:
        """Give ``connection`` no new exchanges; return whether it had been given any."""
        if connection not in self._connections:
            return False
        self._connections.remove(connection)
        return True

    def _look(self, now: float) -> None:
        """Retire connections without which the others would have carried all since the last look."""
        self._until = now + _WINDOW
        peak, self._peak = self._peak, self.in_flight
        left = sorted(self._connections, key=lambda each: each.streams)
        while len(left) > 1 and sum(each.capacity for each in left[1:]) >= peak:
            connection = left.pop(0)
            self._connections.remove(connection)
            connection.retire()

    # Closing.

    def give_up(self, count: int) -> int:
        """Close up to ``count`` of those that carry nothing; return how many."""
        idle = [connection for connection in self._connections if not connection.streams][:count]
        for connection in idle:
            self._connections.remove(connection)
            connection.retire()
        return len(idle)

    def close(self) -> None:
        """The same as :meth:`drop`, for those that are being made as well."""
        self.closed = True
        self.drop()

    def drop(self) -> None:
        """Let every connection finish what it carries, and take nothing new."""
        connections, self._connections = self._connections, []
        for connection in connections:
            connection.retire()

    def __len__(self) -> int:
        return len(self._connections)

    def __repr__(self) -> str:
        opening = f", {len(self._openings)} opening" if self._openings else ""
        return f"<SharedConnections {len(self)} with {self.in_flight} exchanges{opening}>"
