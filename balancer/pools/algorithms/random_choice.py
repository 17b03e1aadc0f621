"""Random: servers drawn by weight, whatever their load."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator, Sequence
from itertools import accumulate

from zope.interface import implementer

from balancer.hooks.interfaces import Choice, IAlgorithm, IServer

__all__ = ["RandomChoice"]


@implementer(IAlgorithm)
class RandomChoice:
    """Weighted random."""

    key = None
    stable = False

    def __init__(self) -> None:
        self._servers: list[IServer] = []
        self._heights: list[int] = []

    def prepare(self, servers: Sequence[IServer]) -> None:
        """Take the servers and their weights."""
        self._servers = [server for server in servers if server.weight > 0]
        self._heights = list(accumulate(server.weight for server in self._servers))

    def candidates(self, choice: Choice) -> Iterator[IServer]:
        """Yield servers as if drawn by weight from those not drawn before."""
        servers = self._servers
        if not servers:
            return
        heights = self._heights
        first = servers[bisect(heights, int(choice.draw() * heights[-1]))]
        yield first
        left = [server for server in servers if server is not first]
        while left:
            heights = list(accumulate(server.weight for server in left))
            yield left.pop(bisect(heights, int(choice.draw() * heights[-1])))

    def __repr__(self) -> str:
        return f"<RandomChoice over {len(self._servers)}>"
