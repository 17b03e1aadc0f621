"""How much a pool takes on at a time: what is more is refused at once, so that a slow server does not make everybody wait.

Four things are limited, each counted where it happens:

* ``requests``: exchanges and sessions in flight, from the choice of a server to the end.
* ``pending``: exchanges that wait, for a connection to be made or for a server with room.
* ``retries``: further attempts in flight.
* ``connections``: open connections to all servers, idle ones included. Where one more is wanted, an idle one to another
  server is given up. Each TCP session or UDP flow is one.

A limit may be kept to together with other processes: then ``share`` knows what all have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from balancer.pools.server import Server, Share

__all__ = ["Limit", "LimitSettings", "Limits", "Wait"]


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """The most of each, None for no limit."""

    connections: int | None = None
    pending: int | None = None
    requests: int | None = None
    retries: int | None = None


class Limit:
    """At most ``most`` (None: any number) of what ``name`` says; ``refused`` counts those that were one too many."""

    __slots__ = ("active", "most", "name", "refused", "share")

    def __init__(self, name: str, most: int | None) -> None:
        self.name = name
        self.most = most
        self.active = 0
        self.refused = 0
        self.share: Share | None = None

    @property
    def full(self) -> bool:
        """Whether there must not be one more."""
        if self.most is None:
            return False
        return self.active >= self.most if self.share is None else not self.share.has_room()

    def add(self, count: int) -> None:
        """Count so many more, or less."""
        self.active += count
        if self.share is not None:
            self.share.put(self.active)

    def keep_with_others(self, share: Share | None) -> None:
        """Keep to the limit together with other processes from now on, or (None) alone."""
        if self.share is not None:
            self.share.put(0)
        self.share = share
        if share is not None:
            share.put(self.active)

    def __repr__(self) -> str:
        return f"<Limit {self.active} of {'any' if self.most is None else self.most} {self.name}>"


class _Connections(dict[str, int]):
    """The open connections to a server by protocol, which a limit is told of."""

    def __init__(self, known: Mapping[str, int], limit: Limit) -> None:
        super().__init__(known)
        self._limit = limit

    def __setitem__(self, protocol: str, count: int) -> None:
        self._limit.add(count - self[protocol])
        super().__setitem__(protocol, count)


class Wait:
    """What waits for a connection, and counts as long as it does."""

    __slots__ = ("_limits", "_opens", "_retry")

    def __init__(self, limits: Limits, opens: int, retry: int) -> None:
        self._limits = limits
        self._opens = opens
        self._retry = retry
        limits.pending.add(1)
        limits.opening += opens
        limits.retries.add(retry)

    def over(self, result: Any = None) -> Any:
        """Count it no more: the connection is there, or will not be. To be called once; returns ``result``."""
        self._limits.pending.add(-1)
        self._limits.opening -= self._opens
        self._limits.retries.add(-self._retry)
        return result


class Limits:
    """The limits of one pool; ``opening`` counts connections that are being made.

    Args:
        settings: how much of each.
    """

    def __init__(self, settings: LimitSettings) -> None:
        self.settings = settings
        self.requests = Limit("requests", settings.requests)
        self.pending = Limit("pending", settings.pending)
        self.retries = Limit("retries", settings.retries)
        self.connections = Limit("connections", settings.connections)
        self.opening = 0

    @property
    def all(self) -> tuple[Limit, ...]:
        """Every limit."""
        return self.connections, self.pending, self.requests, self.retries

    def bind(self, servers: Sequence[Server]) -> None:
        """Count what is in flight on ``servers`` and what is open to them, now and from now on."""
        self.requests.add(sum(server.active for server in servers) - self.requests.active)
        limit = self.connections
        limit.add(-limit.active)
        for server in servers:
            server.connections = dict(server.connections)  # nobody else is told any more
            if limit.most is not None:
                limit.add(sum(server.connections.values()))
                server.connections = _Connections(server.connections, limit)

    def take_over(self, old: Limits) -> None:
        """Go on with what ``old`` has counted: those in flight count down there and here."""
        for mine, theirs in zip(self.all, old.all, strict=True):
            mine.refused += theirs.refused
        for name in ("pending", "retries"):
            mine, theirs = getattr(self, name), getattr(old, name)
            theirs.most, theirs.refused = mine.most, mine.refused
            setattr(self, name, theirs)
        for left in (old.requests, old.connections):
            left.keep_with_others(None)

    def release(self, servers: Sequence[Server]) -> None:
        """Keep to nothing together with others any more, and be told of no connections: what counts them may go to others."""
        for limit in self.all:
            limit.keep_with_others(None)
        for server in servers:
            if isinstance(server.connections, _Connections):
                server.connections = dict(server.connections)

    def over(self, session: bool) -> Limit | None:
        """Return the limit that keeps one more exchange, or session, from beginning; None if there is none."""
        if self.requests.full:
            return self.requests
        most = self.connections.most
        return self.connections if session and most is not None and self.requests.active >= most else None

    def connects(self, server: Server, alone: bool, servers: Sequence[Server]) -> Limit | Wait:
        """Count an exchange that needs a connection to ``server``, of ``servers``, or return the limit that is reached.

        ``alone``: it must not share one.
        """
        if self.pending.full:
            return self.pending
        opens = self._opens(server, alone)
        if opens and self._no_more_connections and not _gave_up_one(servers):
            return self.connections
        return Wait(self, int(opens), 0)

    def blocks(self, server: Server, alone: bool, servers: Sequence[Server]) -> Limit | None:
        """Return what keeps an exchange from ``server`` for which no connection is kept; nothing is counted, or given up for it."""
        shared = server.shared
        if len(server.idle) or (shared is not None and not alone and shared.ready):
            return None
        if self.pending.full:
            return self.pending
        if not self._opens(server, alone) or not self._no_more_connections:
            return None
        idle = any(len(each.idle) or (each.shared is not None and each.shared.idle) for each in servers)
        return None if idle else self.connections

    def _opens(self, server: Server, alone: bool) -> bool:
        return server.shared is None or alone or not server.shared.is_opening

    @property
    def _no_more_connections(self) -> bool:
        connections = self.connections
        if connections.most is None:
            return False
        if connections.share is not None:
            return not connections.share.has_room()
        return connections.most - connections.active - self.opening <= 0

    def session_connects(self, retry: bool) -> Limit | Wait:
        """The same for a session, whose connection is counted already by :meth:`over`; ``retry``: it has failed elsewhere."""
        return self.pending if self.pending.full else Wait(self, 0, int(retry))

    def __repr__(self) -> str:
        return f"<Limits {', '.join(repr(limit)[7:-1] for limit in self.all)}>"


def _gave_up_one(servers: Sequence[Server]) -> bool:
    """Close an idle connection of the server that has most of them; False if there is none."""
    server = max(servers, key=lambda server: len(server.idle))
    if server.idle.give_up(1):
        return True
    return any(server.shared is not None and server.shared.give_up(1) for server in servers)
