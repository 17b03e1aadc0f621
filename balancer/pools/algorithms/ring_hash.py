"""Ring hash: servers own points on a circle, a key belongs to the next point after its hash.

Consistent hashing as in Karger et al. (1997) and ketama: when a server leaves, its keys go to whoever owns the next
points, all others stay. Shares are as even as there are points: with 160 for a server, within about ten percent;
``maglev`` is more even. How many points a server has depends on its own weight only, so that no other key moves. A look-up costs O(log points).
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from struct import unpack
from typing import Annotated

from pydantic import Field
from zope.interface import implementer

from balancer.hooks.interfaces import IAlgorithm, IServer
from balancer.pools.algorithms.hashing import BoundedSettings, Hashing

__all__ = ["RingHash", "RingHashSettings"]

_MOST_POINTS = 1 << 16
"""All points are halved in number until there are no more than these: enough for evenness, built in a twentieth of a second."""

_PER_DIGEST = 8  # a BLAKE2b digest of 64 bytes makes eight points


class RingHashSettings(BoundedSettings):
    """Settings of ``ring_hash``."""

    points: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=160, description="Points on the ring for each unit of weight; more make shares more even."
    )


@implementer(IAlgorithm)
class RingHash(Hashing):
    """Weighted consistent hashing on a ring."""

    def __init__(self, settings: RingHashSettings | None = None) -> None:
        settings = settings or RingHashSettings()
        super().__init__(settings.key, settings.bounded_load)
        self._points = settings.points
        self._ring: tuple[int, ...] = ()
        self._owners: tuple[int, ...] = ()

    def _rebuild(self) -> None:
        members = tuple((server.name, server.weight) for server in self._servers)
        self._ring, self._owners = _ring_of(members, self._points)

    def _walk(self, number: int) -> Iterator[IServer]:
        servers, owners = self._servers, self._owners
        at = bisect(self._ring, number) % len(owners)
        owner = owners[at]
        yield servers[owner]
        seen = {owner}
        count = len(servers)
        for offset in range(1, len(owners)):
            owner = owners[(at + offset) % len(owners)]
            if owner not in seen:
                seen.add(owner)
                yield servers[owner]
                if len(seen) == count:
                    return


@lru_cache(maxsize=32)
def _ring_of(members: tuple[tuple[str, int], ...], points: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the sorted points, and the index of each one's owner in ``members`` (names and weights)."""
    total = points * sum(weight for _, weight in members)
    halvings = max(0, (total - 1).bit_length() - _MOST_POINTS.bit_length() + 1)
    ring = []
    for owner, (name, weight) in enumerate(members):
        count = max(1, points * weight >> halvings)
        ring += [(point, owner) for point in _points_of(name, count)]
    ring.sort()
    return tuple(point for point, _ in ring), tuple(owner for _, owner in ring)


def _points_of(name: str, count: int) -> list[int]:
    """Return the first ``count`` points of ``name``: more weight adds points, and never moves one."""
    points: list[int] = []
    for number in range(-(-count // _PER_DIGEST)):
        points += unpack(">8Q", blake2b(f"{name}-{number}".encode()).digest())
    return points[:count]
