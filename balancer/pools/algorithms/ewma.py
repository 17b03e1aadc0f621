"""Peak EWMA: of two servers drawn at random, the one that promises the shorter wait.

The cost of a server is ``latency * (active + 1)``, where latency is a moving average that jumps up to a peak at once and
comes down slowly, and that fades while nothing is heard, so that a server that was slow once is tried again (Finagle
and linkerd balance so by default). A failure counts as a slow answer: a server that is quick only to fail must not
attract traffic.

Where weights differ, servers are drawn by weight, and what is in flight counts by weight: ``active`` is divided by the
server's weight, the mean being 1. So servers that are equally fast have shares like their weights, idle or busy, and
also where each is faster by chance half of the time: of two that are drawn, each wins as often. One that is drawn
twice is taken, unless another is more than twice as cheap. (Where fewer exchanges are in flight than there are servers,
or about as many, light servers are idle more often than heavy ones, and have somewhat more than their shares.)
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import exp

from pydantic import Field
from zope.interface import implementer

from balancer.hooks.interfaces import Choice, IObservingAlgorithm, IServer
from balancer.hooks.settings import Duration, Settings

__all__ = ["Ewma", "EwmaSettings"]

_FAILURE = 1.0
"""Seconds that a failed exchange counts for at least."""
_UNKNOWN = 1e-6
"""Seconds that a server of which nothing is known counts for: it is tried soon, but by one request at a time."""
_AT_ALL = 1.05
"""How many times as cheap the second must be where weights differ; what is not heard of lately fades, and looks cheaper."""
_CLEARLY = 2.0
"""How many times as cheap another must be than one that was drawn twice."""


class EwmaSettings(Settings):
    """Settings of ``ewma``."""

    decay: Duration = Field(
        default=10.0, gt=0, description="How long a slow answer is remembered: after this time a third of it counts."
    )


class _Cell:
    """What is known of one server: latency in seconds when last heard of, and when that was."""

    __slots__ = ("heard", "latency")

    def __init__(self, latency: float, heard: float) -> None:
        self.latency = latency
        self.heard = heard


@implementer(IObservingAlgorithm)
class Ewma:
    """Lowest peak-sensitive expected latency of two drawn at random."""

    key = None
    stable = False

    def __init__(self, settings: EwmaSettings | None = None) -> None:
        self._decay = (settings or EwmaSettings()).decay
        self._servers: list[tuple[IServer, _Cell, float]] = []  # and what one exchange in flight counts for there
        self._heights: list[int] | None = None
        self._cells: dict[IServer, _Cell] = {}
        self._now = 0.0  # of the latest choice: close enough for averages

    def prepare(self, servers: Sequence[IServer]) -> None:
        """Take the servers; what is known of each stays, those out of use for now included."""
        for server in servers:
            if server not in self._cells:
                self._cells[server] = _Cell(server.latency, self._now)
        used = [server for server in servers if server.weight > 0]
        weights = [server.weight for server in used]
        self._heights = list(accumulate(weights)) if len(set(weights)) > 1 else None
        mean = sum(weights) / len(weights) if weights else 1.0
        self._servers = [(server, self._cells[server], mean / server.weight) for server in used]

    def candidates(self, choice: Choice) -> Iterator[IServer]:
        """Yield the cheaper of two, the other, then the rest by cost."""
        servers = self._servers
        count = len(servers)
        now = self._now = choice.now
        if count < 2:
            for server, _, _ in servers:
                yield server
            return
        draw = choice.draw
        heights = self._heights
        cheaper = 1.0
        if heights is None:
            index = int(draw() * count)
            other = int(draw() * (count - 1))
            if other >= index:
                other += 1
        else:
            total = heights[-1]
            cheaper = _AT_ALL
            index = bisect(heights, int(draw() * total))
            other = bisect(heights, int(draw() * total))
            if index == other:
                cheaper = _CLEARLY
                other = int(draw() * (count - 1))
                if other >= index:
                    other += 1
        first, cell, unit = servers[index]
        second, cell_2, unit_2 = servers[other]
        decay = self._decay
        latency = cell.latency * exp((cell.heard - now) / decay) if now > cell.heard else cell.latency
        latency_2 = cell_2.latency * exp((cell_2.heard - now) / decay) if now > cell_2.heard else cell_2.latency
        if cheaper * (latency_2 + _UNKNOWN) * (second.active * unit_2 + 1.0) < (
            (latency + _UNKNOWN) * (first.active * unit + 1.0)
        ):
            first, second = second, first
        yield first
        yield second
        rest = [each for each in servers if each[0] is not first and each[0] is not second]
        for server, _, _ in sorted(rest, key=lambda each: self._cost(*each)):
            yield server

    def _cost(self, server: IServer, cell: _Cell, unit: float) -> float:
        latency = cell.latency * exp(min(0.0, cell.heard - self._now) / self._decay)
        return (latency + _UNKNOWN) * (server.active * unit + 1.0)

    def finished(self, server: IServer, seconds: float, ok: bool) -> None:
        """Learn how long ``server`` took."""
        cell = self._cells.get(server)
        if cell is None:
            return
        if not ok:
            seconds = max(seconds, _FAILURE)
        elif seconds < 0.0:  # it ended before there was anything to measure
            return
        now = self._now
        if seconds >= cell.latency:
            cell.latency = seconds
        else:
            kept = exp((cell.heard - now) / self._decay) if now > cell.heard else 1.0
            cell.latency = seconds + (cell.latency - seconds) * kept
        cell.heard = now

    def __repr__(self) -> str:
        return f"<Ewma over {len(self._servers)}>"
