"""Adaptive concurrency: how much a server, or a pool, is given at a time follows from how long it takes.

Gradient, as in Netflix's concurrency-limits (Gradient2): the time that answers take now is compared with what they took in the long run. As
long as they are alike there is no queue at the server, and the limit grows by ``headroom`` a window; when they take longer (more
than ``tolerance`` times) one builds up, and the limit shrinks in proportion, by half at most. Where the limit is not used by half, it stays.

What is over the limit waits in the pool's queue, as with ``max_connections``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from balancer.pools.server import Server

__all__ = ["Concurrency", "ConcurrencySettings", "Gradient"]

_SAMPLES = 10
"""Answers without which a window goes on."""
_LONG_RUN = 100
"""Windows that the long run looks back, about."""
_WARM_UP = 10
"""Windows whose mean is the first that is known of the long run."""
_BACK_OFF = 0.9
"""By what the limit is multiplied for a window in which some got no answer."""


@dataclass(frozen=True, slots=True)
class ConcurrencySettings:
    """The limit begins with ``initial``, is between ``minimum`` and ``maximum``, and is looked at every ``window`` seconds.

    ``of`` says whether each server has one, or the pool. ``smoothing`` is how much of a change is made at a time.
    """

    of: Literal["server", "pool"] = "server"
    initial: int = 20
    minimum: int = 5
    maximum: int = 1000
    tolerance: float = 1.5
    headroom: int = 4
    smoothing: float = 0.2
    window: float = 1.0


class Gradient:
    """One limit: outcomes in, ``limit`` out."""

    __slots__ = ("_exact", "_failed", "_long", "_most", "_samples", "_since", "_sum", "_windows", "limit", "settings")

    def __init__(self, settings: ConcurrencySettings) -> None:
        self.settings = settings
        self.limit = settings.initial
        self._exact = float(settings.initial)
        self._long = 0.0
        self._windows = 0
        self._since: float | None = None
        self._samples = self._most = 0
        self._sum = 0.0
        self._failed = False

    def ended(self, now: float, in_flight: int, seconds: float, ok: bool) -> bool:
        """Note that something ended; return whether the limit is another.

        Args:
            now: monotonic seconds.
            in_flight: how much was in flight, this included.
            seconds: to first byte; negative if there was none.
            ok: whether it went well.
        """
        if self._since is None:
            self._since = now
        if in_flight > self._most:
            self._most = in_flight
        if seconds >= 0.0:
            self._samples += 1
            self._sum += seconds
        elif not ok:
            self._failed = True
        if now - self._since < self.settings.window or (self._samples < _SAMPLES and not self._failed):
            return False
        before = self.limit
        self._update()
        self._since, self._samples, self._most, self._sum, self._failed = now, 0, 0, 0.0, False
        return self.limit != before

    def _update(self) -> None:
        settings, exact = self.settings, self._exact
        if self._failed:
            exact *= _BACK_OFF
        elif self._samples:
            short = max(self._sum / self._samples, 1e-6)
            self._windows += 1
            count = self._windows if self._windows <= _WARM_UP else _LONG_RUN
            self._long += (short - self._long) / count
            if self._long > 2.0 * short:  # it was slow for long: forget that sooner
                self._long *= 0.95
            if self._most < exact / 2.0:
                return
            gradient = max(0.5, min(1.0, settings.tolerance * self._long / short))
            wanted = exact * gradient + settings.headroom
            exact += (wanted - exact) * settings.smoothing
        self._exact = min(float(settings.maximum), max(float(settings.minimum), exact))
        self.limit = int(self._exact)

    def use(self, settings: ConcurrencySettings) -> None:
        """Go by other settings from now on."""
        self.settings = settings
        self._exact = min(float(settings.maximum), max(float(settings.minimum), self._exact))
        self.limit = int(self._exact)

    def __repr__(self) -> str:
        return f"<Gradient {self.limit}, {self._long * 1000:.1f} ms in the long run>"


class Concurrency:
    """The adaptive limits of a pool's servers, or of the pool.

    Args:
        settings: how they change.
        now: returns monotonic seconds.
    """

    def __init__(self, settings: ConcurrencySettings, now: Callable[[], float]) -> None:
        self.settings = settings
        self.whole = Gradient(settings)
        self.servers: dict[Server, Gradient] = {}
        self._now = now

    def bind(self, servers: Sequence[Server]) -> None:
        """Hold for ``servers`` from now on."""
        if self.settings.of == "pool":
            return
        known = self.servers
        self.servers = {server: known.get(server) or Gradient(self.settings) for server in servers}
        for server in servers:
            self._apply(server)

    def _apply(self, server: Server) -> None:
        server.adaptive = limit = self.servers[server].limit
        if server.share is None:
            server.limit = min(server.most, limit)

    def ended(self, server: Server, in_flight: int, seconds: float, ok: bool) -> None:
        """Learn from an outcome on ``server``; ``in_flight``: in the pool."""
        if self.settings.of == "pool":
            self.whole.ended(self._now(), in_flight, seconds, ok)
        elif (gradient := self.servers.get(server)) is not None:
            if gradient.ended(self._now(), server.active, seconds, ok):
                self._apply(server)

    def full(self, in_flight: int) -> bool:
        """Whether the pool has as much in flight as it can take."""
        return self.settings.of == "pool" and in_flight >= self.whole.limit

    def take_over(self, old: Concurrency) -> None:
        """Go on with what ``old`` has learnt, by the new settings."""
        self.whole = old.whole
        self.servers = dict(old.servers)
        for gradient in (self.whole, *self.servers.values()):
            gradient.use(self.settings)

    def __repr__(self) -> str:
        return f"<Concurrency of each {self.settings.of}>"
