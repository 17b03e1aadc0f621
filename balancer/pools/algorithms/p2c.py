"""Power of two choices: draw two servers, take the less loaded one.

Almost as good as knowing the least loaded of all, at constant cost, and without the herd that runs to it
(Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).

Load is ``active / weight``. Where weights differ, servers are drawn by weight, so that the shares hold on an idle
pool too, and the first one drawn is kept unless the other would still be the less loaded with one more on it.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from zope.interface import classImplements

from balancer.hooks.interfaces import Choice, IAlgorithm, IServer

__all__ = ["P2C"]


class P2C:
    """Weighted, least active of two drawn at random."""

    key = None
    stable = False

    def __init__(self) -> None:
        self._servers: list[IServer] = []
        self._count = 0
        self._heights: list[int] | None = None
        self._total = 0

    def prepare(self, servers: Sequence[IServer]) -> None:
        """Take the servers and their weights."""
        self._servers = [server for server in servers if server.weight > 0]
        self._count = len(self._servers)
        weights = [server.weight for server in self._servers]
        self._heights = list(accumulate(weights)) if len(set(weights)) > 1 else None
        self._total = sum(weights)

    def candidates(self, choice: Choice) -> Iterable[IServer]:
        """Return the better of two, the other, then the rest by load."""
        servers = self._servers
        count = self._count
        if count < 2:
            return servers
        draw = choice.draw
        heights = self._heights
        if heights is None:
            one = int(draw() * count)
            two = int(draw() * (count - 1))
            if two >= one:
                two += 1
        else:
            total = self._total
            one = bisect(heights, int(draw() * total))
            two = bisect(heights, int(draw() * total))
            if one == two:  # drawn twice: compare with any other
                two = int(draw() * (count - 1))
                if two >= one:
                    two += 1
        first = servers[one]
        second = servers[two]
        if first.active * second.weight >= (second.active + 1) * first.weight:
            first, second = second, first
        if count == 2:
            return first, second
        return self._in_order(first, second)

    def _in_order(self, first: IServer, second: IServer) -> Iterator[IServer]:
        servers = self._servers
        yield first
        yield second
        yield from sorted(
            (server for server in servers if server is not first and server is not second),
            key=lambda server: server.active / server.weight,
        )

    def __repr__(self) -> str:
        return f"<P2C over {self._count}>"


classImplements(P2C, IAlgorithm)
