"""Maglev: a table of many slots, filled by the servers in turn, each in its own pseudo-random order of preference.

Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016), section 3.4; weights as in
Envoy: a server of half the greatest weight takes a slot every other round. Shares are even to a fraction of a percent,
a look-up costs one hash and one index, and when a server leaves few keys move besides its own.

The table depends on the names and weights of the servers and on its size, on nothing else.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from struct import unpack
from typing import Annotated

from pydantic import AfterValidator, Field
from zope.interface import implementer

from balancer.hooks.interfaces import IAlgorithm, IServer
from balancer.pools.algorithms.hashing import BoundedSettings, Hashing

__all__ = ["Maglev", "MaglevSettings"]

_LARGEST = 5_000_011


def _prime(number: int) -> int:
    if number < 2 or any(number % divisor == 0 for divisor in range(2, int(number**0.5) + 1)):
        raise ValueError(f"expected a prime number, such as 5003, 65537 or 655373, got {number}")
    return number


class MaglevSettings(BoundedSettings):
    """Settings of ``maglev``."""

    table_size: Annotated[int, Field(ge=2, le=_LARGEST), AfterValidator(_prime)] = Field(
        default=65537, description="Slots of the table, a prime; a hundred times the number of servers or more."
    )


@implementer(IAlgorithm)
class Maglev(Hashing):
    """Weighted Maglev hashing."""

    def __init__(self, settings: MaglevSettings | None = None) -> None:
        settings = settings or MaglevSettings()
        super().__init__(settings.key, settings.bounded_load)
        self._size = settings.table_size
        self._table = array("I")

    def _rebuild(self) -> None:
        members = tuple((server.name, server.weight) for server in self._servers)
        self._table = _table_of(members, self._size) if len(members) > 1 else array("I")

    def _walk(self, number: int) -> Iterator[IServer]:
        servers, table, size = self._servers, self._table, self._size
        at = number % size
        index = table[at]
        yield servers[index]
        # The slots that follow are as good as random, so the keys of a server that is down spread over all others.
        seen = {index}
        count = len(servers)
        for offset in range(1, size):
            index = table[(at + offset) % size]
            if index not in seen:
                seen.add(index)
                yield servers[index]
                if len(seen) == count:
                    return
        for index, server in enumerate(servers):  # those too light to own a slot
            if index not in seen:
                yield server


@lru_cache(maxsize=32)
def _table_of(members: tuple[tuple[str, int], ...], size: int) -> array[int]:
    """Return the table for ``members`` (names and weights, sorted by name): an index into them for each slot."""
    empty = len(members)
    table = array("I", [empty]) * size
    heaviest = max(weight for _, weight in members)
    places: list[int] = []
    steps: list[int] = []
    for name, _ in members:
        offset, skip = unpack(">QQ", blake2b(name.encode(), digest_size=16).digest())
        places.append(offset % size)
        steps.append(skip % (size - 1) + 1)
    due = [0] * empty
    left = size
    while True:
        for index, (_, weight) in enumerate(members):
            due[index] += weight
            if due[index] < heaviest:
                continue
            due[index] -= heaviest
            place = places[index]
            step = steps[index]
            while table[place] != empty:
                place += step
                if place >= size:
                    place -= size
            table[place] = index
            places[index] = place
            left -= 1
            if not left:
                return table
