"""Which column of the shared counts stands for what: the master gives them out, and tells every worker.

A column is given anew only when what it stood for is gone from the configuration and no connection counts there any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from balancer.errors import BalancerError
from balancer.pools.limits import Limit
from balancer.pools.server import Server

__all__ = ["EVERYTHING", "Columns", "limit_column", "listener_column", "server_column"]

EVERYTHING = "everything"
"""The name of what all connections are counted under."""


def listener_column(listener: str) -> str:
    """Return the name of the column for ``listener``."""
    return f"listener {listener}"


def server_column(pool: str, server: Server) -> str:
    """Return the name of the column for ``server`` of ``pool``."""
    return f"server {pool} {server.name} {server.address}"


def limit_column(pool: str, limit: Limit) -> str:
    """Return the name of the column for ``limit`` of ``pool``."""
    return f"limit {pool} {limit.name}"


class Columns:
    """Columns by name.

    Args:
        count: how many there are.
        total: returns what all processes have of a column.
    """

    def __init__(self, count: int, total: Callable[[int], int]) -> None:
        self._total = total
        self._free = list(range(count - 1, 0, -1))
        self._named: dict[str, int] = {EVERYTHING: 0}
        self._left: list[int] = []

    def named(self, wanted: Iterable[str]) -> dict[str, int]:
        """Return a column for each of ``wanted``: the one it has, or a fresh one.

        Raises:
            BalancerError: if there are too few.
        """
        found = {EVERYTHING: 0}
        for name in wanted:
            column = self._named.get(name)
            if column is None:
                if not self._free:
                    self._collect()
                if not self._free:
                    raise BalancerError(
                        "too many listeners, servers with 'max_connections' and pools with 'breaker', for 'workers'"
                    )
                column = self._named[name] = self._free.pop()
            found[name] = column
        return found

    def keep(self, wanted: dict[str, int]) -> None:
        """Let go of every name that is not in ``wanted``."""
        for name in [name for name in self._named if name not in wanted]:
            self._left.append(self._named.pop(name))

    def rename(self, old: str, new: str) -> None:
        """Let ``new`` have the column of ``old``."""
        if old in self._named and new not in self._named:
            self._named[new] = self._named.pop(old)

    def _collect(self) -> None:
        used = [column for column in self._left if self._total(column)]
        self._free += [column for column in self._left if column not in used]
        self._left = used
