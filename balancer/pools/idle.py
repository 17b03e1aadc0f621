"""Keep-alive connections to one server, waiting for their next request."""

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


class IdleConnection(Protocol):
    """What can wait here: a connection that knows when it is too old and can be closed."""

    expires: float

    def close(self) -> None:
        """Close the connection."""


class IdleConnections:
    """Last in, first out: the connection used last is the least likely to have been closed by the server."""

    __slots__ = ("_waiting", "closed", "settings")

    def __init__(self, settings: KeepAlive) -> None:
        self.settings = settings
        self.closed = False
        self._waiting: list[IdleConnection] = []

    def take(self, now: float) -> IdleConnection | None:
        """Return a connection that may carry another request, or None; ``now`` in the clock of ``expires``."""
        waiting = self._waiting
        while waiting:
            connection = waiting.pop()
            if connection.expires > now:
                return connection
            connection.close()
        return None

    def put(self, connection: IdleConnection, now: float) -> bool:
        """Keep ``connection`` for later; False if there is no room or it is too old, and the caller must close it."""
        if self.closed or len(self._waiting) >= self.settings.size or connection.expires <= now:
            return False
        self._waiting.append(connection)
        return True

    def give_up(self, count: int) -> int:
        """Close up to ``count`` of those that have waited longest; return how many."""
        given_up, self._waiting = self._waiting[:count], self._waiting[count:]
        for connection in given_up:
            connection.close()
        return len(given_up)

    def forget(self, connection: IdleConnection) -> None:
        """Leave out a connection that was closed from the other side."""
        if connection in self._waiting:
            self._waiting.remove(connection)

    def close(self) -> None:
        """Close all, and keep none from now on."""
        self.closed = True
        waiting, self._waiting = self._waiting, []
        for connection in waiting:
            connection.close()

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"<IdleConnections {len(self._waiting)} of {self.settings.size}>"
