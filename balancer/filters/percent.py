"""A share of the requests, in per cent: by chance, or the same clients each time.

A piece for filters, not one itself. With a key a request belongs to the share or not by a hash of its key and a seed, alike in
every process and after every restart; whoever belongs to 10 % also belongs to 20 %. A request that has no such key is left to
chance, as are all without one.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from balancer.model.facts import RequestFacts
from balancer.model.keys import Key

__all__ = ["Percent"]

_ALL = 100.0


class Percent:
    """Decides who belongs to a share.

    Args:
        percent: from 0 to 100.
        key: the fact whose hash decides, None: chance does.
        seed: makes shares differ that have the same key.
    """

    __slots__ = ("_key", "_seed", "percent")

    def __init__(self, percent: float, key: Key | None = None, seed: str = "") -> None:
        self.percent = percent
        self._key = key
        self._seed = seed.encode()[:64]

    def takes(self, facts: RequestFacts, draw: Callable[[], float]) -> bool:
        """Return whether a request belongs to the share; ``draw`` returns a float in [0, 1)."""
        if self.percent >= _ALL:
            return True
        value = None if self._key is None else self._key.of(facts)
        if value is None:
            return draw() * _ALL < self.percent
        return _fraction(value, self._seed) * _ALL < self.percent

    def __str__(self) -> str:
        return f"{self.percent:g} %" if self._key is None else f"{self.percent:g} % by {self._key}"

    def __repr__(self) -> str:
        return f"<Percent {self}>"


def _fraction(value: bytes, seed: bytes) -> float:
    """Return a number in [0, 1) that is always the same for ``value`` and ``seed``."""
    digest = blake2b(value, digest_size=6, key=seed).digest()
    return int.from_bytes(digest, "big") / (1 << 48)
