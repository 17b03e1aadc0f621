"""Keep-alive connections to one server, waiting for their next request.

Most may carry anybody's. Those that began with a PROXY header are one client's (``whom``), and wait for no other: for seconds
only, as that client may be gone, and if there are too many the one that has waited longest makes room.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["IdleConnection", "IdleConnections", "KeepAlive"]


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """How connections to servers are kept: at most ``size`` waiting per server, times in seconds."""

    size: int = 1024
    idle: float = 50.0
    max_age: float = 3600.0

    @property
    def idle_for_one(self) -> float:
        """How long a connection waits that is one client's."""
        return min(self.idle, _FOR_ONE)


_FOR_ONE = 5.0


class IdleConnection(Protocol):
    """What can wait here: a connection that knows when it is too old and can be closed; and whose it is, ``b""``: anybody's."""

    expires: float
    whom: bytes

    def close(self) -> None:
        """Close the connection."""


class IdleConnections:
    """Last in, first out: the connection used last is the least likely to have been closed by the server."""

    __slots__ = ("_owned", "_owned_count", "_waiting", "closed", "settings")

    def __init__(self, settings: KeepAlive) -> None:
        self.settings = settings
        self.closed = False
        self._waiting: list[IdleConnection] = []
        self._owned: dict[bytes, list[IdleConnection]] = {}  # by whose they are; who came last is last
        self._owned_count = 0

    def take(self, now: float) -> IdleConnection | None:
        """Return a connection that may carry another request, or None; ``now`` in the clock of ``expires``."""
        waiting = self._waiting
        while waiting:
            connection = waiting.pop()
            if connection.expires > now:
                return connection
            connection.close()
        return None

    def take_for(self, whom: bytes, now: float) -> IdleConnection | None:
        """Return a connection of ``whom`` that may carry another request, or None."""
        while whom in self._owned:
            connection = self._take_owned(whom, -1)
            if connection.expires > now:
                return connection
            connection.close()
        return None

    def _take_owned(self, whom: bytes, at: int) -> IdleConnection:
        owned = self._owned[whom]
        connection = owned.pop(at)
        self._owned_count -= 1
        if not owned:
            del self._owned[whom]
        return connection

    def put(self, connection: IdleConnection, now: float) -> bool:
        """Keep ``connection`` for later; False if there is no room or it is too old, and the caller must close it."""
        if self.closed or len(self._waiting) >= self.settings.size or connection.expires <= now:
            return False
        if connection.whom:
            return self._put_owned(connection)
        self._waiting.append(connection)
        return True

    def _put_owned(self, connection: IdleConnection) -> bool:
        if len(self) >= self.settings.size and not self._give_up_owned():
            return False
        owned = self._owned.pop(connection.whom, [])
        owned.append(connection)
        self._owned[connection.whom] = owned
        self._owned_count += 1
        return True

    def _give_up_owned(self) -> bool:
        """Close the one that has waited longest of those that are somebody's; False if there is none."""
        if not self._owned:
            return False
        self._take_owned(next(iter(self._owned)), 0).close()
        return True

    def give_up(self, count: int) -> int:
        """Close up to ``count``, those that are one client's first, then those that have waited longest; return how many."""
        left = count
        while left and self._give_up_owned():
            left -= 1
        given_up, self._waiting = self._waiting[:left], self._waiting[left:]
        for connection in given_up:
            connection.close()
        return count - left + len(given_up)

    def forget(self, connection: IdleConnection) -> None:
        """Leave out a connection that was closed from the other side."""
        if connection in self._waiting:
            self._waiting.remove(connection)
        elif connection in self._owned.get(connection.whom, ()):
            self._take_owned(connection.whom, self._owned[connection.whom].index(connection))

    def close(self) -> None:
        """Close all, and keep none from now on."""
        self.closed = True
        waiting, self._waiting = self._waiting, []
        for connection in waiting:
            connection.close()
        while self._give_up_owned():
            pass

    def __len__(self) -> int:
        return len(self._waiting) + self._owned_count

    def __repr__(self) -> str:
        return f"<IdleConnections {len(self)} of {self.settings.size}>"
