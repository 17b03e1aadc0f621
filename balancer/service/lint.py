"""What only what is built shows: routes that can never be reached, filters that let nothing through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from balancer.config.listeners import HttpListener
from balancer.errors import Problem
from balancer.filters.fault import FaultSettings
from balancer.filters.mirror import MirrorSettings
from balancer.hooks.plugged import Plugged
from balancer.listeners.http.site import Site
from balancer.routing.l4_reachability import unreachable_sessions
from balancer.routing.reachability import unreachable
from balancer.service.snapshot import Snapshot

__all__ = ["lint_filters", "lint_routes"]


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
