"""Why a pool sends a request where it does, in words; reads the same state as the choice itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from balancer.errors import DESTINATION_UNAVAILABLE, ExchangeError
from balancer.hooks.interfaces import Look
from balancer.model.facts import RequestFacts, SessionFacts

if TYPE_CHECKING:
    from balancer.pools.pool import Pool
    from balancer.pools.server import Server

__all__ = ["explain", "fate", "out", "takes_known", "why_none"]


def takes_known(server: Server) -> bool:
    """Whether ``server`` takes a request of a client that sticks to it: also while it drains."""
    return server.open_to_known and not server.full


def explain(
    pool: Pool, facts: RequestFacts | SessionFacts, draw: Callable[[], float], now: float, algorithm: Any = None
) -> list[tuple[Server, bool, str]]:
    """Return all servers of ``pool``, in the order in which they would be tried, with whether and why (not).

    ``algorithm``: that of a subset, where one is asked for.
    """
    found: list[tuple[Server, bool, str]] = []
    listed: set[Server] = set()
    sticky = pool.sticky
    known = None if sticky is None else sticky.server_for(facts, used=False)
    if sticky is not None and known is not None and takes_known(known):
        found.append((known, True, f"the client sticks to it by {sticky.describe()}"))
        listed.add(known)
    algorithm = algorithm or pool.algorithm
    key = None if algorithm.key is None else algorithm.key.of(facts)
    server: Server
    for rank, server in enumerate(algorithm.candidates(Look(key, draw, now)), start=1):
        if server not in listed:
            listed.add(server)
            usable = server.open and not server.full
            found.append((server, usable, f"choice {rank} of the algorithm" if usable else _why_not(server, now)))
    for server in sorted(pool.servers, key=lambda server: server.active / max(server.weight, 1)):
        if server not in listed:
            usable = server.open and not server.full
            found.append((server, usable, "left over by the algorithm" if usable else _why_not(server, now)))
    barred = pool.barred(facts)
    if barred:
        return [(server, False, barred if usable else f"{why}; {barred}") for server, usable, why in found]
    if pool.in_panic:
        found = [(server, usable, f"{why}; no server is healthy" if usable else why) for server, usable, why in found]
    return found


def fate(pool: Pool, facts: RequestFacts | SessionFacts, members: Sequence[Server]) -> ExchangeError | None:
    """Return what one ends with for whom nobody of ``members`` has room; None: it waits."""
    if any(server.open for server in members):
        return pool.queue.fate(facts)
    return ExchangeError(DESTINATION_UNAVAILABLE, pool.barred(facts) or why_none(pool))


def out(pool: Pool, now: float) -> list[tuple[str, str]]:
    """Return the servers of ``pool`` that take no new request, each with why."""
    barred = pool.barred()
    if barred:
        return [(server.name, barred) for server in pool.servers]
    return [(server.name, _why_not(server, now)) for server in pool.servers if not server.open or server.full]


def why_none(pool: Pool) -> str:
    """Return why no server of ``pool`` takes the request: ``pool web: 2 down, 1 full``."""
    if not pool.servers:
        return f"pool {pool.name} has no servers"
    states: dict[str, int] = {}
    for server in pool.servers:
        if server.open:
            state = "full" if server.full else "tried before"
        elif server.state == "up":
            state = "weight 0" if server.weight == 0 else "backup"
        else:
            state = server.state
        states[state] = states.get(state, 0) + 1
    return f"pool {pool.name}: " + ", ".join(f"{count} {state}" for state, count in states.items())


def _why_not(server: Server, now: float) -> str:
    reason = f": {server.reason}" if server.reason else ""
    if server.open:
        if server.adaptive is not None and server.active >= server.adaptive:
            return f"full: {server.active} in flight, and its adaptive limit is {server.adaptive}"
        return f"full: {server.active} of {server.max_connections} connections"
    state = server.state
    if state == "disabled":
        return "disabled by hand" if server.condition == "up" else f"disabled by hand, and {server.condition}{reason}"
    if state == "down":
        return f"down{reason}"
    if state == "ejected":
        return f"ejected for another {max(0.0, server.ejected_until - now):.1f} s{reason}"
    if state == "tripped":
        return f"tripped by its breaker: {server.tripped}"
    if state == "draining":
        return "draining"
    return "weight 0" if server.weight == 0 else "a backup, and others can be used"
