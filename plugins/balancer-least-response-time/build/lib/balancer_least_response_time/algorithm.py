"""Least response time with error penalty.

A server's cost is ``average * (active + 1) / weight``. The average is exponentially weighted by time, as in Finagle's
peak EWMA but without the peak: ``average += (sample - average) * (1 - 2 ** (-elapsed / half_life))``, where elapsed is
the time since the last sample, at least :data:`_LEAST` so that samples in one instant count too. Unheard, the average
itself decays by the same half-life.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field
from zope.interface import implementer

from balancer.hooks.interfaces import Choice, IObservingAlgorithm, IServer
from balancer.hooks.settings import Duration, Settings

_LEAST = 0.05
"""Part of the half-life that counts as elapsed between two samples, however close they are."""

_UNKNOWN = 1e-6
"""Seconds that a server without samples is taken to need: it is tried first."""


class LeastResponseTimeSettings(Settings):
    """How fast averages follow, and what a failure costs."""

    half_life: Duration = Field(default=10.0, gt=0, description="How long until a sample counts half.")
    error_penalty: Duration = Field(default=2.0, ge=0, description="What a failed exchange counts above the average.")


class _Average:
    __slots__ = ("heard", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.heard = 0.0


@implementer(IObservingAlgorithm)
class LeastResponseTime:
    """See the module."""

    key = None
    stable = False

    def __init__(self, settings: LeastResponseTimeSettings) -> None:
        self._half_life = settings.half_life
        self._penalty = settings.error_penalty
        self._servers: tuple[IServer, ...] = ()
        self._averages: dict[str, _Average] = {}
        self._now = 0.0

    def prepare(self, servers: Sequence[IServer]) -> None:
        """Take the servers; those known by name keep their averages, so that one that comes back is not a stranger."""
        self._servers = tuple(servers)
        for server in servers:
            self._averages.setdefault(server.name, _Average())

    def candidates(self, choice: Choice) -> Iterator[IServer]:
        """Yield by cost; chance decides between equals."""
        self._now = now = choice.now
        draw = choice.draw
        costs = [(self._cost(server, now), draw(), server) for server in self._servers]
        costs.sort(key=lambda each: each[:2])
        for _, _, server in costs:
            yield server

    def finished(self, server: IServer, seconds: float, ok: bool) -> None:
        """Learn from an outcome."""
        average = self._averages.setdefault(server.name, _Average())
        sample = max(seconds, 0.0)
        if not ok:
            sample = max(sample, average.seconds) + self._penalty
        elapsed = max(self._now - average.heard, self._half_life * _LEAST)
        share = 1.0 if not average.seconds else 1.0 - 2.0 ** (-elapsed / self._half_life)
        average.seconds += (sample - average.seconds) * share
        average.heard = self._now

    def _cost(self, server: IServer, now: float) -> float:
        average = self._averages[server.name]
        forgotten = 2.0 ** (-max(now - average.heard, 0.0) / self._half_life)
        return max(average.seconds * forgotten, _UNKNOWN) * (server.active + 1) / max(server.weight, 1)
