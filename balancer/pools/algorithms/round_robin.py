"""Round robin: each server in turn, a heavier one more often, and its turns spread evenly.

Stride scheduling (Waldspurger and Weihl, 1995; the same as the EDF scheduler of Envoy): each server has the time of
its next turn, the earliest is taken, and its next turn lies ``1 / weight`` later. Weights 5, 1, 1 give ``a a b c a a
a``, not ``a a a a a b c``. A turn costs O(log n) and no randomness.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heapify, heapreplace

from zope.interface import implementer

from balancer.hooks.interfaces import Choice, IAlgorithm, IServer

__all__ = ["RoundRobin"]

_ONE = 1 << 40
"""A stride for weight 1: whole numbers, so that turns stay exact for ever."""


@implementer(IAlgorithm)
class RoundRobin:
    """Smooth weighted round robin."""

    key = None
    stable = False

    def __init__(self) -> None:
        self._servers: list[IServer] = []
        self._heap: list[tuple[int, int, int, IServer]] = []  # next turn, order, stride, server

    def prepare(self, servers: Sequence[IServer]) -> None:
        """Take the servers and their weights; those known before keep their place in the round."""
        now = self._heap[0][0] if self._heap else 0
        waits = {server: turn - now for turn, _, _, server in self._heap}
        self._servers = [server for server in servers if server.weight > 0]
        self._heap = []
        for order, server in enumerate(self._servers):
            stride = _ONE // server.weight
            self._heap.append((min(waits.get(server, stride // 2), stride), order, stride, server))
        heapify(self._heap)

    def candidates(self, choice: Choice) -> Iterator[IServer]:
        """Yield the server whose turn it is, then the others in the order of their turns."""
        heap = self._heap
        if not heap:
            return
        turn, order, stride, server = heap[0]
        if not choice.look:
            heapreplace(heap, (turn + stride, order, stride, server))
        yield server
        for _, _, _, other in sorted(heap):
            if other is not server:
                yield other

    def __repr__(self) -> str:
        return f"<RoundRobin over {len(self._servers)}>"
