"""An algorithm: everything to the first server, the next only when that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zope.interface import implementer

from balancer.hooks.interfaces import Choice, IAlgorithm, IServer


@implementer(IAlgorithm)
class Primary:
    """Yields the servers in the order of the configuration; the pool takes the first that may be used."""

    key = None  # no request fact is hashed
    stable = True  # keep servers that are down in the list, so that the order stays

    def __init__(self) -> None:
        self._servers: tuple[IServer, ...] = ()

    def prepare(self, servers: Sequence[IServer]) -> None:
        """Take the servers."""
        self._servers = tuple(servers)

    def candidates(self, choice: Choice) -> Iterator[IServer]:
        """Yield them."""
        yield from self._servers
