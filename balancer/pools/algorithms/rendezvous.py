"""Rendezvous, or highest random weight: each server draws a score from the key, the highest wins.

Nothing to build, perfectly even, and only the keys of a server that leaves move (Thaler and Ravishankar, 1998). It
looks at every server for each request, O(n): for pools of tens. The score ``-weight / ln(h)`` makes shares exactly
proportional to weights (Schindelhauer and Schomaker, 2005); a server whose weight changes only gains or only
loses keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log

from zope.interface import implementer

from balancer.hooks.interfaces import IAlgorithm, IServer
from balancer.pools.algorithms.hashing import BoundedSettings, Hashing, hash64

__all__ = ["Rendezvous"]

_MASK = 0xFFFFFFFFFFFFFFFF
_UNIT = 2.0**-53


@implementer(IAlgorithm)
class Rendezvous(Hashing):
    """Weighted rendezvous hashing."""

    def __init__(self, settings: BoundedSettings | None = None) -> None:
        settings = settings or BoundedSettings()
        super().__init__(settings.key, settings.bounded_load)
        self._entries: list[tuple[IServer, int, int]] = []

    def _rebuild(self) -> None:
        self._entries = [(server, hash64(server.name.encode()), server.weight) for server in self._servers]

    def _walk(self, number: int) -> Iterator[IServer]:
        scores = []
        best = 0.0
        winner: IServer | None = None
        for server, seed, weight in self._entries:
            # The finaliser of SplitMix64 makes two independent hashes into a third.
            mixed = number ^ seed
            mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
            mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & _MASK
            score = -weight / log((((mixed ^ (mixed >> 31)) >> 11) + 0.5) * _UNIT)
            scores.append(score)
            if score > best:
                best, winner = score, server
        if winner is not None:
            yield winner
        for _, index in sorted(((-score, index) for index, score in enumerate(scores))):
            server = self._entries[index][0]
            if server is not winner:
                yield server
