"""Shares traffic between pools by weight: at random, or so that the same key always gets the same pool.

Sticky choices use weighted rendezvous hashing (Schindelhauer and Schomaker, "Weighted Distributed Hash Tables",
2005): every pool is scored from a hash of the key and the pool's name, and the best score wins. All nodes agree
without talking, the order in the file does not matter, and when a weight grows keys move only *to* that pool. Two
routes that split between the same pools send the same key to the same pool.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from hashlib import blake2b
from itertools import accumulate
from math import log

from balancer.model.facts import RequestFacts
from balancer.model.keys import Key

__all__ = ["Split"]

_SPAN = float(2**53)


class Split:
    """Pools with their weights, and the key that sticks to one of them (None: chance decides each time).

    A request that has no such key (no cookie yet) is decided by chance. A pool of weight 0 gets nothing.

    Raises:
        ValueError: for no pools, a negative weight, or weights that are all 0.
    """

    __slots__ = ("_bounds", "_names", "_salts", "_total", "key", "weights")

    def __init__(self, weights: Mapping[str, float], key: Key | None = None) -> None:
        if any(weight < 0 for weight in weights.values()):
            raise ValueError("expected weights of 0 or more")
        used = {name: weight for name, weight in weights.items() if weight > 0}
        if not used:
            raise ValueError("expected at least one pool with a weight above 0")
        self.weights = dict(weights)
        self.key = key
        self._names = tuple(used)
        self._bounds = tuple(accumulate(used.values()))
        self._total = self._bounds[-1]
        self._salts = tuple((name, weight, name.encode() + b"\0") for name, weight in used.items())

    def choose(self, facts: RequestFacts, draw: Callable[[], float]) -> str:
        """Return the pool for this request; ``draw()`` returns a float in [0, 1)."""
        value = self.key.of(facts) if self.key is not None else None
        if value is not None:
            return self.sticky(value)
        at = bisect_right(self._bounds, draw() * self._total)
        return self._names[min(at, len(self._names) - 1)]

    def sticky(self, value: bytes) -> str:
        """Return the pool that ``value`` always gets."""
        best, chosen = float("inf"), ""
        for name, weight, salt in self._salts:
            point = int.from_bytes(blake2b(salt + value, digest_size=8).digest(), "big") >> 11
            score = -log((point + 0.5) / _SPAN) / weight
            if score < best or (score == best and name < chosen):
                best, chosen = score, name
        return chosen

    def __repr__(self) -> str:
        shares = ", ".join(f"{name}: {weight:g}" for name, weight in self.weights.items())
        return f"<Split {shares}{f' by {self.key}' if self.key is not None else ''}>"
