"""What only what is built shows: routes that can never be reached, filters that let nothing through."""

from __future__ import annotations

from collections.abc import Iterator

from balancer.config.listeners import HttpListener
from balancer.errors import Problem
from balancer.filters.fault import FaultSettings
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
    """Yield a problem for each filter that leaves nothing to do for what comes after it."""
    for name, listener in snapshot.config.listeners.items():
        if not isinstance(listener, HttpListener):
            continue
        places: list[tuple[tuple[str | int, ...], tuple[Plugged, ...]]] = [(("listeners", name), listener.filters)]
        places += [(("listeners", name, "routes", at), route.filters) for at, route in enumerate(listener.routes)]
        for place, filters in places:
            for at, each in enumerate(filters):
                settings = each.settings
                if isinstance(settings, FaultSettings) and settings.abort is not None and settings.abort.percent >= 100:
                    message = "every request is aborted: nothing ever goes further than here"
                    yield snapshot.config.problem((*place, "filters", at), message, "fault-for-all")
