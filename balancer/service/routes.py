"""From the configuration's routes to compiled ones: plug-ins built, actions made, leaves hung in place."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.web.resource import IResource

from balancer.config.listeners import HttpListener, TcpListener, UdpListener
from balancer.config.matches import Match
from balancer.config.routes import Redirect as RedirectSettings
from balancer.config.routes import Respond, Route as RouteSettings
from balancer.hooks.interfaces import IFilter
from balancer.hooks.plugged import Plugged
from balancer.hooks.registry import Registry
from balancer.model.exchange import Reply
from balancer.routing.conditions import Conditions
from balancer.routing.l4 import L4Route, L4Routes
from balancer.routing.redirect import Redirect
from balancer.routing.route import Route
from balancer.routing.split import Split
from balancer.routing.table import RouteTable

__all__ = ["built_filters", "http_table", "session_routes"]


def http_table(listener: HttpListener, registry: Registry, proxy: IResource) -> RouteTable:
    """Return the table of an HTTP listener; routes that lead to pools end in ``proxy``."""
    return RouteTable(_route(route, order, registry, proxy) for order, route in enumerate(listener.routes))


def session_routes(listener: TcpListener | UdpListener) -> L4Routes:
    """Return the routes of a TCP or UDP listener."""
    return L4Routes(
        L4Route(
            route.name, route.pool, tuple(route.match.client), tuple(route.match.local_address), route.match.local_port
        )
        for route in listener.routes
    )


def built_filters(filters: Iterable[Plugged], registry: Registry) -> tuple[IFilter, ...]:
    """Return the filters themselves."""
    return tuple(registry.build("filters", plugged.name, plugged.settings) for plugged in filters)


def _route(route: RouteSettings, order: int, registry: Registry, proxy: IResource) -> Route:
    conditions = _conditions(route.match, registry)
    filters = built_filters(route.filters, registry)
    name, priority = route.name, route.priority
    if route.pool is not None:
        return Route(name, order, conditions, priority=priority, filters=filters, pool=route.pool, leaf=proxy)
    if route.split is not None:
        split = Split(route.split.weights, route.split.key)
        return Route(name, order, conditions, priority=priority, filters=filters, split=split, leaf=proxy)
    if route.redirect is not None:
        redirect = _redirect(route.redirect)
        return Route(name, order, conditions, priority=priority, filters=filters, redirect=redirect)
    if route.respond is not None:
        reply = _reply(route.respond)
        return Route(name, order, conditions, priority=priority, filters=filters, reply=reply)
    assert route.resource is not None
    resource = registry.build("resources", route.resource.name, route.resource.settings)
    return Route(name, order, conditions, priority=priority, filters=filters, resource=resource)


def _conditions(match: Match, registry: Registry) -> Conditions:
    return Conditions(
        host=match.host,
        path=match.path,
        method=frozenset(match.method),
        headers=match.headers,
        query=match.query,
        cookies=match.cookies,
        client=match.client,
        scheme=match.scheme or "",
        all=tuple(_conditions(part, registry) for part in match.all),
        any=tuple(_conditions(part, registry) for part in match.any),
        not_=_conditions(match.not_, registry) if match.not_ is not None else None,
        others=tuple(registry.build("matchers", plugged.name, plugged.settings) for plugged in match.matchers),
    )


def _redirect(settings: RedirectSettings) -> Redirect:
    return Redirect(
        settings.to,
        settings.status,
        scheme=settings.scheme,
        host=settings.host,
        port=settings.port,
        path=settings.path,
    )


def _reply(settings: Respond) -> Reply:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in settings.headers.items()]
    if settings.body is None:
        # An error status without a body of its own gets the error page; any other status an empty body.
        return Reply(settings.status, tuple(headers), None if settings.status >= 400 else b"")
    if not any(name.lower() == b"content-type" for name, _ in headers):
        headers.append((b"Content-Type", settings.content_type.encode("latin-1")))
    return Reply(settings.status, tuple(headers), settings.body.encode())
