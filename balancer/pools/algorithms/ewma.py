"""Peak EWMA: of two servers drawn at random, the one that promises the shorter wait.

The cost of a server is ``latency * (active + 1) / weight``, where latency is a moving average that jumps up to a peak
at once and comes down slowly, and that fades while nothing is heard, so that a server that was slow once is tried
again (Finagle and linkerd balance so by default). A failure counts as a slow answer: a server that is quick only to
fail must not attract traffic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
        self._servers: list[tuple[IServer, _Cell]] = []
        self._cells: dict[IServer, _Cell] = {}
        self._now = 0.0  # of the latest choice: close enough for averages

    def prepare(self, servers: Sequence[IServer]) -> None:
        """Take the servers; what is known of each stays, those out of use for now included."""
        for server in servers:
            if server not in self._cells:
                self._cells[server] = _Cell(server.latency, self._now)
        self._servers = [(server, self._cells[server]) for server in servers if server.weight > 0]

    def candidates(self, choice: Choice) -> Iterator[IServer]:
        """Yield the cheaper of two, the other, then the rest by cost."""
        servers = self._servers
        count = len(servers)
        now = self._now = choice.now
        if count < 2:
            for server, _ in servers:
                yield server
            return
        draw = choice.draw
        index = int(draw() * count)
        first, cell = servers[index]
        other = int(draw() * (count - 1))
        if other >= index:
            other += 1
        second, cell_2 = servers[other]
        decay = self._decay
        latency = cell.latency * exp((cell.heard - now) / decay) if now > cell.heard else cell.latency
        latency_2 = cell_2.latency * exp((cell_2.heard - now) / decay) if now > cell_2.heard else cell_2.latency
        if (latency_2 + _UNKNOWN) * (second.active + 1) * first.weight < (
            (latency + _UNKNOWN) * (first.active + 1) * second.weight
        ):
            first, second = second, first
        yield first
        yield second
        rest = [pair for pair in servers if pair[0] is not first and pair[0] is not second]
        for server, _ in sorted(rest, key=lambda pair: self._cost(*pair)):
            yield server

    def _cost(self, server: IServer, cell: _Cell) -> float:
        latency = cell.latency * exp(min(0.0, cell.heard - self._now) / self._decay)
        return (latency + _UNKNOWN) * (server.active + 1) / server.weight

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
