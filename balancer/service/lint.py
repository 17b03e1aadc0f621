"""What only the compiled routes show: routes that can never be reached, filters that can do nothing there."""

from __future__ import annotations

from collections.abc import Iterator

from balancer.errors import Problem
from balancer.filters.rewrite import Rewrite
from balancer.listeners.http.site import Site
from balancer.routing.l4_reachability import unreachable_sessions
from balancer.routing.reachability import unreachable
from balancer.routing.route import Route
from balancer.service.snapshot import Snapshot

__all__ = ["lint_routes"]


def lint_routes(snapshot: Snapshot) -> Iterator[Problem]:
    """Yield a problem for each route that no request or session can ever reach, and for each filter that is in vain."""
    place: tuple[str | int, ...]
    for name, site in snapshot.listeners.items():
        if isinstance(site, Site):
            for hidden in unreachable(site.table):
                place = ("listeners", name, "routes", hidden.route.order)
                yield snapshot.config.problem(place, str(hidden), "unreachable-route")
            for route in site.table.routes:
                for at, message in _idle_rewrites(route):
                    place = ("listeners", name, "routes", route.order, "filters", at)
                    yield snapshot.config.problem(place, message, "pointless-rewrite")
        else:
            for taken in unreachable_sessions(site.routes):
                place = ("listeners", name, "routes", taken.order)
                yield snapshot.config.problem(place, str(taken), "unreachable-route")


def _idle_rewrites(route: Route) -> Iterator[tuple[int, str]]:
    """Yield which of a route's filters rewrite a request that no server gets, or into what it is already, and why."""
    for at, each in enumerate(route.filters):
        if not isinstance(each, Rewrite):
            continue
        if route.action in ("redirect", "respond"):
            yield at, f"no server gets what is rewritten: the route answers itself, with '{route.action}'"
        elif each.changes_nothing([path.pattern for path in route.paths]):
            yield at, "the prefix is replaced by itself"
