"""Slow start: a server that is new, or comes back, gets its share of the traffic little by little.

Its share of its weight grows over the ``window`` from ``minimum`` to all of it, by ``(time / window) ** (1 / aggression)``, as Envoy's does:
1 is a straight line, more begins steeply, less begins flat.

* Algorithms that go by weight are prepared with the weights of the moment, in hundredths, each fiftieth of the window.
* Algorithms that hash a key are not: their tables would move other keys too. Instead each key has a number, drawn from key and
  server once and for all; as long as the share is below it, the key goes to the next server of its order. So keys
  move to the new server one after another, once. (Requests without a key are not held back.)
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from balancer.pools.algorithms.hashing import hash64

if TYPE_CHECKING:
    from balancer.pools.pool import Pool
    from balancer.pools.server import Server

__all__ = ["SlowStart", "SlowStartSettings", "share_after"]

_UNIT = 100
"""What one unit of weight is multiplied by, to have hundredths in whole numbers."""
_STEPS = 50
_SHORTEST = 0.02
_WHOLE = float(1 << 64)


@dataclass(frozen=True, slots=True)
class SlowStartSettings:
    """From ``minimum`` (0.0 to 1.0) to the whole share within ``window`` seconds."""

    window: float = 30.0
    minimum: float = 0.1
    aggression: float = 1.0


def share_after(seconds: float, settings: SlowStartSettings) -> float:
    """Return the share of its weight that a server has so many seconds after it began."""
    if seconds >= settings.window:
        return 1.0
    return float(max(settings.minimum, (max(seconds, 0.0) / settings.window) ** (1.0 / settings.aggression)))


class SlowStart:
    """Knows which servers of ``pool`` are starting; ``starting`` has when each began."""

    def __init__(self, settings: SlowStartSettings, pool: Pool, clock: IReactorTime) -> None:
        self.settings = settings
        self.starting: dict[Server, float] = {}
        self._pool = pool
        self._clock = clock
        self._up: set[Server] | None = None  # those that were, at the last look; None: there was none
        self._call: IDelayedCall | None = None

    def share(self, server: Server) -> float:
        """Return the share of its weight that ``server`` has now."""
        began = self.starting.get(server)
        return 1.0 if began is None else share_after(self._clock.seconds() - began, self.settings)

    def look(self) -> None:
        """See who has come up since the last time, and give every server the weight of the moment."""
        now, servers = self._clock.seconds(), self._pool.servers
        up = {server for server in servers if server.state == "up"}
        if self._up is not None:
            for server in up - self._up:
                self.starting[server] = now
        self._up = up
        for server, began in [*self.starting.items()]:
            if server not in up or now - began >= self.settings.window:
                del self.starting[server]
        scaled = not self._pool.algorithm.stable
        for server in servers:
            weight = server.full_weight
            if scaled and weight:
                weight = max(1, round(weight * _UNIT * self.share(server)))
            server.weight = weight
        if self.starting and self._call is None:
            self._call = self._clock.callLater(max(_SHORTEST, self.settings.window / _STEPS), self._step)

    def _step(self) -> None:
        self._call = None
        self._pool.refresh()

    def holds_back(self, server: Server, key: bytes | None) -> bool:
        """Whether ``key``, hashed, is not yet to go to ``server``."""
        if not key or server not in self.starting or not self._pool.algorithm.stable:
            return False
        return hash64(key + b" " + server.name.encode()) / _WHOLE >= self.share(server)

    def take_over(self, servers: Collection[Server], starting: dict[Server, float]) -> None:
        """Go on at a reload: those that are not among ``servers`` are new, those ``starting`` go on."""
        self._up = {server for server in servers if server.state == "up"}
        self.starting = {server: began for server, began in starting.items() if server in self._up}

    def stop(self) -> None:
        """Let weights be as they are."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def __repr__(self) -> str:
        return f"<SlowStart of {len(self.starting)} servers>"
