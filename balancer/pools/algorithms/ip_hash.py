"""IP hash: the client's address picks the server, by remainder.

Cheap and even, but not consistent: when a server joins or leaves, most clients move. When one is merely down, only its
clients do. For pools that change, ``maglev``, ``ring_hash`` or ``rendezvous`` keep more clients where they are.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate

from zope.interface import implementer

from balancer.hooks.interfaces import IAlgorithm, IServer
from balancer.model.keys import Key
from balancer.pools.algorithms.hashing import Hashing, hash64

__all__ = ["IPHash"]

_TRIES = 20


@implementer(IAlgorithm)
class IPHash(Hashing):
    """Weighted hash of the client's address, by remainder."""

    def __init__(self) -> None:
        super().__init__(Key("client_ip"))
        self._heights: list[int] = []

    def _rebuild(self) -> None:
        self._heights = list(accumulate(server.weight for server in self._servers))

    def _walk(self, number: int) -> Iterator[IServer]:
        servers, heights = self._servers, self._heights
        total = heights[-1]
        first = servers[bisect(heights, number % total)]
        yield first
        seen = {first}
        for _ in range(_TRIES):
            number = hash64(number.to_bytes(8, "big"))
            server = servers[bisect(heights, number % total)]
            if server not in seen:
                seen.add(server)
                yield server
        for server in servers:
            if server not in seen:
                yield server
