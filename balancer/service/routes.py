"""From the configuration's routes to compiled ones: plug-ins built, actions made, leaves hung in place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from balancer.config.listeners import HttpListener, TcpListener, UdpListener
from balancer.config.matches import StreamMatch
from balancer.config.routes import Redirect as RedirectSettings
from balancer.config.routes import Respond
from balancer.config.routes import Route as RouteSettings
from balancer.config.websockets import WebSocketSettings
from balancer.errors import PluginError
from balancer.forwarding.proxy import ProxyResource
from balancer.forwarding.tunnel import WebSocketPolicy
from balancer.hooks.interfaces import IFilter
from balancer.hooks.plugged import Plugged
from balancer.hooks.registry import Registry
from balancer.model.exchange import Reply
from balancer.model.queueing import Queueing
from balancer.routing.answer import fixed_reply
from balancer.routing.conditions import Conditions
from balancer.routing.l4 import L4Route, L4Routes
from balancer.routing.redirect import Redirect
from balancer.routing.route import Route, captured_by, unfit_paths, unknown_names
from balancer.routing.table import RouteTable
from balancer.service.matches import Matches, Report, below
from balancer.service.splits import built_split, keeping
from balancer.service.terms import route_sharing, route_terms

__all__ = ["built_filters", "http_table", "session_routes", "websocket_policy"]


def http_table(
    listener: HttpListener, registry: Registry, matches: Matches, proxy: ProxyResource, secret: str, report: Report
) -> RouteTable:
    """Return the table of an HTTP listener; routes that lead to pools end in ``proxy``, ``secret`` signs the cookies of splits.

    A route that cannot be built is reported and left out.
    """
    routes = []
    for order, settings in enumerate(listener.routes):
        try:
            route = _route(settings, order, registry, matches, proxy, secret, below(report, "routes", order))
        except (ValueError, PluginError) as error:
            report(("routes", order), error)
        else:
            routes += [route] if route is not None else []
    return RouteTable(routes)


def _built(kind: str, plugged: Plugged, registry: Registry, report: Report, *place: str | int) -> Any:
    """Return the object, None if it cannot be made; then that is reported at ``place``."""
    try:
        return registry.build(kind, plugged.name, plugged.settings)
    except (ValueError, PluginError) as error:
        report(place, error)
        return None


def session_routes(listener: TcpListener | UdpListener) -> L4Routes:
    """Return the routes of a TCP or UDP listener."""
    return L4Routes(
        L4Route(
            route.name,
            route.pool,
            route.match.client,
            route.match.local_address,
            route.match.local_port,
            *((route.match.sni, route.match.alpn) if isinstance(route.match, StreamMatch) else ()),
        )
        for route in listener.routes
    )


def websocket_policy(settings: WebSocketSettings) -> WebSocketPolicy:
    """Return what a listener does about WebSockets."""
    return WebSocketPolicy(
        ping=settings.ping,
        pong_timeout=settings.pong_timeout,
        ping_client=settings.ping_whom != "server",
        ping_server=settings.ping_whom != "client",
        strict=settings.strict,
        max_frame=settings.max_frame,
    )


def built_filters(filters: Iterable[Plugged], registry: Registry, report: Report) -> tuple[IFilter, ...]:
    """Return the filters of a listener; those that cannot be made, or need what a path captures, are reported and left out."""
    made = []
    for at, each in _numbered_filters(filters, registry, report):
        unknown = unknown_names(each, frozenset())
        for error in unknown:
            report(("filters", at), error)
        made += [] if unknown else [each]
    return tuple(made)


def _numbered_filters(filters: Iterable[Plugged], registry: Registry, report: Report) -> Iterator[tuple[int, IFilter]]:
    for at, plugged in enumerate(filters):
        made = _built("filters", plugged, registry, report, "filters", at)
        if getattr(made, "is_off", False):
            continue
        if made is not None:
            yield at, made


def _filters_of_route(
    route: RouteSettings, conditions: Conditions, registry: Registry, report: Report
) -> Iterator[IFilter]:
    """Yield the filters that can be made, and need no name that the path does not capture."""
    captured = captured_by(conditions.path) if route.filters else frozenset()
    for at, made in _numbered_filters(route.filters, registry, report):
        wrong = [*unknown_names(made, captured), *unfit_paths(made, conditions.path)]
        for error in wrong:
            report(("filters", at), error)
        if not wrong:
            yield made


def _route(
    route: RouteSettings,
    order: int,
    registry: Registry,
    matches: Matches,
    proxy: ProxyResource,
    secret: str,
    report: Report,
) -> Route | None:
    conditions = matches.conditions(route.match, below(report, "match"))
    filters = tuple(_filters_of_route(route, conditions, registry, report))
    name, priority = route.name, route.priority
    terms, sharing, queue = route_terms(route), route_sharing(route), route.queue
    leaf = proxy if terms is None and sharing is None else proxy.on(terms, sharing)
    leaf = leaf.asking(route.subset, Queueing(queue.priority, queue.timeout) if queue is not None else None)
    if route.pool is not None:
        return Route(name, order, conditions, priority=priority, filters=filters, pool=route.pool, leaf=leaf)
    if route.split is not None:
        split = built_split(route.split, secret)
        filters = (*keeping(split), *filters)
        return Route(name, order, conditions, priority=priority, filters=filters, split=split, leaf=leaf)
    if route.redirect is not None:
        try:
            redirect = _redirect(route.redirect)
        except ValueError as error:
            report(("redirect", "to") if route.redirect.to is not None else ("redirect",), error)
            return None
        return Route(name, order, conditions, priority=priority, filters=filters, redirect=redirect)
    if route.respond is not None:
        try:
            reply = _reply(route.respond)
        except ValueError as error:
            report(("respond",), error)
            return None
        return Route(name, order, conditions, priority=priority, filters=filters, reply=reply)
    if route.resource is None:  # no action at all, which the checks of the configuration have reported
        return None
    resource = _built("resources", route.resource, registry, report, "resource")
    if resource is None:
        return None
    return Route(name, order, conditions, priority=priority, filters=filters, resource=resource)


def _redirect(settings: RedirectSettings) -> Redirect:
    return Redirect(
        settings.to,
        settings.status,
        scheme=settings.scheme,
        host=settings.host,
        port=settings.port,
        path=settings.path,
        query=settings.query,
    )


def _reply(settings: Respond) -> Reply:
    return fixed_reply(settings.status, settings.body, settings.headers, settings.content_type)
