"""Requests and routes in a line, for the tests of routing and filters."""

from __future__ import annotations

from typing import Any

from balancer.hooks.settings import StringMatch
from balancer.model.address import Peer
from balancer.model.facts import RequestFacts
from balancer.model.patterns import HostPattern, PathPattern, parse_network
from balancer.routing.conditions import Conditions
from balancer.routing.route import Route

__all__ = ["conditions", "facts", "route"]


def facts(
    target: str = "/",
    method: str = "GET",
    host: str = "a.example",
    headers: tuple[tuple[str, str], ...] = (),
    client: str = "192.0.2.1",
    scheme: str = "http",
    version: str = "1.1",
) -> RequestFacts:
    """Return the facts of a request."""
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    if host:
        pairs.insert(0, (b"Host", host.encode()))
    return RequestFacts(method, target, pairs, Peer(client, 4711), Peer("127.0.0.1", 8080), scheme, version)


def conditions(**given: Any) -> Conditions:
    """Return conditions from what one would write in a configuration: strings, lists of them, mappings."""
    made: dict[str, Any] = {}
    for key, value in given.items():
        several = value if isinstance(value, (list, tuple)) else [value]
        if key == "host":
            made[key] = tuple(HostPattern.parse(each) for each in several)
        elif key == "path":
            made[key] = tuple(_path(each) for each in several)
        elif key == "method":
            made[key] = frozenset(several)
        elif key == "client":
            made[key] = tuple(parse_network(each) for each in several)
        elif key in ("headers", "query", "cookies"):
            made[key] = {name: StringMatch.model_validate(match) for name, match in value.items()}
        elif key in ("all", "any"):
            made[key] = tuple(conditions(**each) for each in several)
        elif key == "not_":
            made[key] = conditions(**value)
        else:
            made[key] = value
    return Conditions(**made)


def _path(text: str) -> PathPattern:
    return PathPattern.regex(text[1:]) if text.startswith("~") else PathPattern.parse(text)


def route(name: str, order: int = 0, *, priority: int = 0, action: dict[str, Any] | None = None, **given: Any) -> Route:
    """Return a route with these conditions; it leads to a pool of its own name unless ``action`` says otherwise."""
    return Route(name, order, conditions(**given), priority=priority, **(action or {"pool": name}))
