"""What the hashing algorithms share: a hash that never changes, the key, bounded load, requests without a key.

Nothing here may depend on the process, the Python version, the node or the order of the configuration: two balancers
with the same servers send the same key to the same server. So the hash is BLAKE2b, a server is known by its name, and
servers are sorted by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from math import ceil
from typing import Annotated

from pydantic import Field

from balancer.hooks.interfaces import Choice, IServer
from balancer.hooks.settings import KeySetting, Settings
from balancer.model.keys import Key
from balancer.pools.algorithms.p2c import P2C

__all__ = ["BoundedSettings", "HashSettings", "Hashing", "hash64"]


def hash64(data: bytes) -> int:
    """Return 64 bits of BLAKE2b of ``data``: the same everywhere and for ever."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


class HashSettings(Settings):
    """Settings of an algorithm that hashes a key."""

    key: KeySetting = Field(default=Key(), description="What is hashed: client_ip, path, … or {header: NAME}.")


class BoundedSettings(HashSettings):
    """Settings of a consistent hash, which can bound the load of each server."""

    bounded_load: Annotated[float, Field(gt=1.0, le=100.0, allow_inf_nan=False)] | None = Field(
        default=None,
        description="Most load of a server, relative to its fair share of what is in flight: with 1.25 a key whose"
        " server has 25 % more than that goes to the next one.",
    )


class Hashing:
    """Base of the hashing algorithms: subclasses give :meth:`_rebuild` and :meth:`_walk`.

    A request without the key (or with an empty one) goes where ``p2c`` would send it.
    """

    stable = True

    def __init__(self, key: Key, bound: float | None = None) -> None:
        self.key = key
        self._bound = bound
        self._servers: list[IServer] = []
        self._keyless = P2C()

    def prepare(self, servers: Sequence[IServer]) -> None:
        """Take the servers and their weights, in whatever order."""
        self._servers = sorted((server for server in servers if server.weight > 0), key=lambda server: server.name)
        self._keyless.prepare(self._servers)
        self._rebuild()

    def candidates(self, choice: Choice) -> Iterable[IServer]:
        """Yield the key's server, then those that take over from it one after another."""
        key = choice.key
        if not key or len(self._servers) < 2:
            return self._keyless.candidates(choice)
        if self._bound is None:
            return self._walk(hash64(key))
        return _bounded(self._walk(hash64(key)), self._servers, self._bound)

    def _rebuild(self) -> None:
        """Make ready for ``self._servers``: all of weight > 0, sorted by name."""
        raise NotImplementedError

    def _walk(self, number: int) -> Iterator[IServer]:
        """Yield all servers, best first, for a key whose hash is ``number``; there are at least two."""
        raise NotImplementedError

    def __repr__(self) -> str:
        bound = "" if self._bound is None else f" bounded by {self._bound:g}"
        return f"<{type(self).__name__} of {self.key} over {len(self._servers)}{bound}>"


def _bounded(walk: Iterator[IServer], servers: Sequence[IServer], bound: float) -> Iterator[IServer]:
    """Yield those of ``walk`` below ``bound`` times their fair share first (Mirrokni, Thorup, Zadimoghaddam, 2016)."""
    total = 1
    weight = 0
    for server in servers:
        if getattr(server, "open", True):  # the pool's servers know it; those that are down take no share
            total += server.active
            weight += server.weight
    share = bound * total / max(weight, 1)
    loaded = []
    for server in walk:
        if server.active < ceil(share * server.weight):
            yield server
        else:
            loaded.append(server)
    yield from loaded
