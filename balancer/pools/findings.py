"""What a pool has found out by its own traffic, as plain values, and how an operator ends what it does about that.

A server that was ejected, or whose breaker is not closed, is left out for a time; whoever has mended it need not wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from balancer.pools.guarded import GuardedPool

if TYPE_CHECKING:
    from balancer.pools.breaker import Breaker
    from balancer.pools.pool import Pool
    from balancer.pools.server import Server

__all__ = ["BY_HAND", "findings", "restore"]

BY_HAND = "by hand"
"""Why a server is back before its time."""


def _breaker(pool: Pool) -> Breaker | None:
    return pool.breaker if isinstance(pool, GuardedPool) else None


def findings(pool: Pool) -> list[dict[str, Any]]:
    """Return what there is to tell of breakers and ejections, those that are out or on their way there; a good pool has none.

    Each has ``server`` (empty: the pool itself) and ``what``: ``"breaker"``, with the keys of :meth:`Circuit.report`, or
    ``"outlier"``, with those of :meth:`Outliers.report`.
    """
    found = []
    breaker, outliers = _breaker(pool), pool.outliers
    for server in (None, *pool.servers):
        name = "" if server is None else server.name
        told = None if breaker is None else breaker.report(server)
        if told is not None and (told["trips"] or told["failed"] or told["slow"]):
            found.append({"server": name, "what": "breaker", **told})
        if server is not None and outliers is not None:
            told = outliers.report(server)
            if told["ejections"] or told["failures"] or told["answered_5xx"]:
                found.append({"server": name, "what": "outlier", **told})
    return found


def restore(pool: Pool, server: Server | None = None) -> list[list[str]]:
    """End ejections and close breakers, of ``server`` or of all and the pool itself; return what was: ``[server, "ejection" | "breaker"]``.

    What was counted against them is forgotten, so that the next failure is the first one.
    """
    found = []
    breaker, outliers = _breaker(pool), pool.outliers
    for each in (None, *pool.servers) if server is None else (server,):
        name = "" if each is None else each.name
        if each is not None and outliers is not None and outliers.restore(each, BY_HAND):
            found.append([name, "ejection"])
        if breaker is not None and breaker.restore(each, BY_HAND):
            found.append([name, "breaker"])
    return found
