"""Makes a compiled :class:`~.route.Route` of a route as the configuration has it.

The configuration's models are taken by shape, not by import: whatever has these attributes will do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from twisted.web.resource import IResource

from balancer.hooks.interfaces import IFilter, IMatcher
from balancer.hooks.settings import StringMatch
from balancer.model.exchange import Reply
from balancer.model.keys import Key
from balancer.model.patterns import HostPattern, Network, PathPattern
from balancer.routing.answer import fixed_reply
from balancer.routing.conditions import Conditions
from balancer.routing.redirect import Redirect
from balancer.routing.route import Route
from balancer.routing.split import Split

__all__ = ["BadRoute", "MatchSettings", "RouteSettings", "compile_conditions", "compile_route"]

Made = TypeVar("Made")


class MatchSettings(Protocol):
    """The ``match`` of a route in the configuration; ``matchers`` are plug-ins that ``matcher()`` can build."""

    @property
    def host(self) -> Sequence[HostPattern]: ...
    @property
    def path(self) -> Sequence[PathPattern]: ...
    @property
    def method(self) -> Sequence[str]: ...
    @property
    def headers(self) -> Mapping[str, StringMatch]: ...
    @property
    def cookies(self) -> Mapping[str, StringMatch]: ...
    @property
    def query(self) -> Mapping[str, StringMatch]: ...
    @property
    def client(self) -> Sequence[Network]: ...
    @property
    def scheme(self) -> str | None: ...
    @property
    def all(self) -> Sequence[MatchSettings]: ...
    @property
    def any(self) -> Sequence[MatchSettings]: ...
    @property
    def not_(self) -> MatchSettings | None: ...
    @property
    def matchers(self) -> Sequence[Any]: ...


class RouteSettings(Protocol):
    """One route of the configuration, with exactly one action."""

    @property
    def name(self) -> str: ...
    @property
    def match(self) -> MatchSettings: ...
    @property
    def priority(self) -> int: ...
    @property
    def pool(self) -> str | None: ...
    @property
    def split(self) -> Any: ...
    @property
    def redirect(self) -> Any: ...
    @property
    def respond(self) -> Any: ...


class BadRoute(ValueError):
    """A route that cannot be compiled. ``key`` is the key of the route to look at, the text what was expected."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


def compile_route(
    settings: RouteSettings,
    order: int,
    matcher: Callable[[Any], IMatcher],
    *,
    name: str = "",
    filters: Sequence[IFilter] = (),
    resource: IResource | None = None,
    leaf: IResource | None = None,
) -> Route:
    """Return the compiled route.

    Args:
        settings: the route of the configuration.
        order: its place in the file, from 0.
        matcher: builds one plug-in matcher from an item of ``match.matchers``.
        name: what to call it where the configuration does not.
        filters: its filters, built.
        resource: what a ``resource`` action mounts, built.
        leaf: the proxy leaf of a ``pool`` or ``split`` action.

    Raises:
        BadRoute: for what only shows here: a redirect or response that HTTP does not allow, an unknown ``{name}``.
    """
    conditions = _made("match", lambda: compile_conditions(settings.match, matcher))
    split = None if settings.split is None else _made("split", lambda: _split(settings.split))
    redirect = None if settings.redirect is None else _made("redirect", lambda: _redirect(settings.redirect))
    reply = None if settings.respond is None else _made("respond", lambda: _reply(settings.respond))
    route = _made(
        "",
        lambda: Route(
            settings.name or name,
            order,
            conditions,
            priority=settings.priority,
            pool=settings.pool,
            split=split,
            redirect=redirect,
            reply=reply,
            resource=resource,
            leaf=leaf if settings.pool is not None or split is not None else None,
            settings=settings,
        ),
    )
    if redirect is not None:
        _made("redirect", lambda: redirect.check(route.captures))
    _made("filters", lambda: route.use(filters))
    return route


def compile_conditions(match: MatchSettings, matcher: Callable[[Any], IMatcher]) -> Conditions:
    """Return the conditions of a ``match``, plug-in matchers built."""
    return Conditions(
        host=tuple(match.host),
        path=tuple(match.path),
        method=frozenset(match.method),
        headers=match.headers,
        query=match.query,
        cookies=match.cookies,
        client=tuple(match.client),
        scheme=match.scheme or "",
        all=tuple(compile_conditions(part, matcher) for part in match.all),
        any=tuple(compile_conditions(part, matcher) for part in match.any),
        not_=None if match.not_ is None else compile_conditions(match.not_, matcher),
        others=tuple(matcher(part) for part in match.matchers),
    )


def _made(key: str, make: Callable[[], Made]) -> Made:
    try:
        return make()
    except BadRoute:
        raise
    except ValueError as error:
        raise BadRoute(key, str(error)) from error


def _split(settings: Any) -> Split:
    key: Key | None = settings.key
    return Split(settings.weights, key)


def _redirect(settings: Any) -> Redirect:
    return Redirect(
        settings.to,
        settings.status,
        scheme=settings.scheme,
        host=settings.host,
        port=settings.port,
        path=settings.path,
    )


def _reply(settings: Any) -> Reply:
    return fixed_reply(settings.status, settings.body, settings.headers, settings.content_type)
