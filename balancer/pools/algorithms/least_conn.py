"""Least connections: the server with the fewest exchanges and sessions in flight for its weight.

Looks at every server, so it costs O(n) and is for pools of tens, not thousands; ``p2c`` does nearly as well at O(1).
Where several are equally loaded (an idle pool, above all) they are taken in a smooth weighted round, as nginx does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zope.interface import implementer

from balancer.hooks.interfaces import Choice, IAlgorithm, IServer

__all__ = ["LeastConn"]


@implementer(IAlgorithm)
class LeastConn:
    """Weighted, fewest in flight."""

    key = None
    stable = False

    def __init__(self) -> None:
        self._servers: list[IServer] = []
        self._credits: list[int] = []

    def prepare(self, servers: Sequence[IServer]) -> None:
        """Take the servers and their weights."""
        credit_of = dict(zip(self._servers, self._credits, strict=True))
        self._servers = [server for server in servers if server.weight > 0]
        self._credits = [credit_of.get(server, 0) for server in self._servers]

    def candidates(self, choice: Choice) -> Iterator[IServer]:
        """Yield the least loaded, then the others by load."""
        servers = self._servers
        if not servers:
            return
        best = servers[0]
        active, weight = best.active, best.weight
        tied = False
        for server in servers:
            difference = server.active * weight - active * server.weight
            if difference < 0:
                best, tied = server, False
                active, weight = server.active, server.weight
            elif difference == 0 and server is not best:
                tied = True
        if tied:
            best = self._next_of_tied(active, weight, choice.look)
        yield best
        yield from sorted(
            (server for server in servers if server is not best), key=lambda server: server.active / server.weight
        )

    def _next_of_tied(self, active: int, weight: int, look: bool) -> IServer:
        """Return the next in a smooth weighted round of those whose load is ``active / weight``; ``look``: it has no turn."""
        credit_of = self._credits[:] if look else self._credits
        chosen = 0
        most = None
        total = 0
        for index, server in enumerate(self._servers):
            if server.active * weight == active * server.weight:
                total += server.weight
                credit = credit_of[index] = credit_of[index] + server.weight
                if most is None or credit > most:
                    chosen, most = index, credit
        credit_of[chosen] -= total
        return self._servers[chosen]

    def __repr__(self) -> str:
        return f"<LeastConn over {len(self._servers)}>"
