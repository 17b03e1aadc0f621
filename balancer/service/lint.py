"""What only what is built shows: routes that can never be reached, filters that let nothing through or can do nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from balancer.config.listeners import HttpListener
from balancer.errors import Problem
from balancer.filters.fault import FaultSettings
from balancer.filters.kept_side import KeptSide
from balancer.filters.mirror import MirrorSettings
from balancer.filters.rewrite import Rewrite
from balancer.hooks.plugged import Plugged
from balancer.listeners.http.site import Site
from balancer.routing.l4_reachability import unreachable_sessions
from balancer.routing.reachability import unreachable
from balancer.routing.route import Route
from balancer.service.snapshot import Snapshot

__all__ = ["lint_filters", "lint_routes"]


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
    written = (each for each in route.filters if not isinstance(each, KeptSide))  # that one is the split's
    for at, each in enumerate(written):
        if not isinstance(each, Rewrite):
            continue
        if route.action in ("redirect", "respond"):
            yield at, f"no server gets what is rewritten: the route answers itself, with '{route.action}'"
        elif each.changes_nothing([path.pattern for path in route.paths]):
            yield at, "the prefix is replaced by itself"


def lint_filters(snapshot: Snapshot) -> Iterator[Problem]:
    """Yield a problem for each filter that lets nothing through, has nothing to do, or has too much done."""
    for name, listener in snapshot.config.listeners.items():
        if not isinstance(listener, HttpListener):
            continue
        yield from _doubts(snapshot, ("listeners", name), listener.filters, None)
        for at, route in enumerate(listener.routes):
            yield from _doubts(snapshot, ("listeners", name, "routes", at), route.filters, route.pools)


def _doubts(
    snapshot: Snapshot, place: tuple[str | int, ...], filters: Iterable[Plugged], pools: tuple[str, ...] | None
) -> Iterator[Problem]:
    """Yield what is doubtful in the filters at ``place``; ``pools`` are those that the route leads to, None for all routes."""
    for at, each in enumerate(filters):
        settings = each.settings
        if isinstance(settings, FaultSettings) and settings.abort is not None and settings.abort.percent >= 100:
            message = "every request is aborted: nothing ever goes further than here"
            yield snapshot.config.problem((*place, "filters", at), message, "fault-for-all")
        if isinstance(settings, MirrorSettings) and pools is not None:
            if not pools:
                message = "nothing is mirrored: the route leads to no pool"
                yield snapshot.config.problem((*place, "filters", at), message, "pointless-mirror")
            for name in settings.pools:
                if name in pools:
                    message = f"pool '{name}' gets the requests of this route already: it is mirrored to itself"
                    yield snapshot.config.problem((*place, "filters", at), message, "mirror-to-itself")
