"""The decision: where one request goes, and nothing else.

A pure function of the table, the request's facts and a draw of randomness. The live path, ``balancer explain``,
``balancer test`` and replay all call :func:`decide`, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable

from balancer.model.decision import Decision
from balancer.model.facts import RequestFacts
from balancer.routing.table import RouteTable

__all__ = ["NO_ROUTE", "decide"]

NO_ROUTE = Decision("", "none")
"""The decision for a request that no route matches."""


def decide(table: RouteTable, facts: RequestFacts, draw: Callable[[], float]) -> Decision:
    """Return where the request goes; :data:`NO_ROUTE` if no route matches.

    ``draw()`` returns a float in [0, 1); it is called only for a split that chance decides. ``entry`` of the result is
    the compiled :class:`~.route.Route`.

    Raises:
        BadTargetError: where target or host of the request cannot be read in one way only (answer 400).
    """
    entry = table.find(facts)
    if entry is None:
        return NO_ROUTE
    decision = entry.decision
    if decision is not None:
        return decision
    route = entry.route
    pool = route.pool if route.split is None else route.split.choose(facts, draw)
    if entry.shares is not None and pool is not None:
        return entry.shares[pool]
    return route.decision(pool, entry.path.captures(facts.path) if entry.path is not None else None)
