"""What only the compiled routes show: routes that can never be reached."""

from __future__ import annotations

from collections.abc import Iterator

from balancer.errors import Problem
from balancer.listeners.http.site import Site
from balancer.routing.l4_reachability import unreachable_sessions
from balancer.routing.reachability import unreachable
from balancer.service.snapshot import Snapshot

__all__ = ["lint_routes"]


def lint_routes(snapshot: Snapshot) -> Iterator[Problem]:
    """Yield a problem for each route of an HTTP listener that no request can ever reach, or of another that no session can."""
    for name, site in snapshot.listeners.items():
        if isinstance(site, Site):
            for hidden in unreachable(site.table):
                place = ("listeners", name, "routes", hidden.route.order)
                yield snapshot.config.problem(place, str(hidden), "unreachable-route")
        else:
            for taken in unreachable_sessions(site.routes):
                place = ("listeners", name, "routes", taken.order)
                yield snapshot.config.problem(place, str(taken), "unreachable-route")
