"""What a schema cannot say: names that must exist, keys that exclude each other, addresses that collide.

Works on the data as written, not on the validated tree, so that these problems are reported together with those of the
schema; what has the wrong shape is passed over here, because the schema has reported it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

from balancer.config.binds import admin, binds
from balancer.config.document import BROKEN, Document, Loc
from balancer.config.raw import entries_of, get, items_of, protocol_of
from balancer.config.routes import ACTIONS, SERVER_KEYS
from balancer.config.tls import encryption
from balancer.errors import Problem
from balancer.model.address import Address
from balancer.model.patterns import PathPattern
from balancer.model.suggestions import did_you_mean
from balancer.model.template import Template

__all__ = ["check"]


def check(document: Document) -> list[Problem]:
    """Return every problem between parts of the configuration."""
    return [problem for part in _PARTS for problem in part(document)]


def _routes(data: Any) -> Iterator[tuple[Loc, str, dict[str, Any]]]:
    """Yield place, protocol and data of every route."""
    for name, listener in items_of(get(data, "listeners")):
        for at, route in entries_of(get(listener, "routes")):
            if isinstance(route, dict):
                yield ("listeners", name, "routes", at), protocol_of(listener), route


def _pool_references(data: Any) -> Iterator[tuple[Loc, str]]:
    """Yield every place that names a pool traffic may go to, with the name; for a split that is its key."""
    for name, listener in items_of(get(data, "listeners")):
        if isinstance(get(listener, "pool"), str):
            yield ("listeners", name, "pool"), listener["pool"]
        yield from _mirrored(("listeners", name), listener)
    for loc, _, route in _routes(data):
        yield from _mirrored(loc, route)
        if isinstance(route.get("pool"), str):
            yield (*loc, "pool"), route["pool"]
        split = route.get("split")
        weights = get(split, "weights")
        inner = ("weights",) if isinstance(weights, dict) else ()
        for pool, _ in items_of(weights if inner else split):
            yield (*loc, "split", *inner, pool), pool


def _mirrored(loc: Loc, holder: Any) -> Iterator[tuple[Loc, str]]:
    """Yield every place at which a filter ``mirror`` of a listener or route names a pool, with the name."""
    for at, each in entries_of(get(holder, "filters")):
        mirror, place = get(each, "mirror"), (*loc, "filters", at, "mirror")
        several = get(mirror, "targets") if isinstance(mirror, dict) else mirror
        if isinstance(several, str):
            yield place, several
        if isinstance(get(mirror, "pool"), str):
            yield (*place, "pool"), mirror["pool"]
        inner = ("targets",) if isinstance(mirror, dict) else ()
        for number, target in entries_of(several):
            pool = target if isinstance(target, str) else get(target, "pool")
            if isinstance(pool, str):
                yield (*place, *inner, number, *(() if pool is target else ("pool",))), pool


def _unknown_pools(document: Document) -> Iterator[Problem]:
    pools = get(document.data, "pools")
    known: Collection[str] = pools if isinstance(pools, dict) else ()
    expected = (
        (("tests", at, "expect", "pool"), get(test, "expect", "pool"))
        for at, test in entries_of(get(document.data, "tests"))
    )
    for loc, name in (*_pool_references(document.data), *expected):
        if isinstance(name, str) and name not in known and name is not BROKEN:
            message = f"there is no pool '{name}'{did_you_mean(name, known)}"
            yield document.problem(loc, message, "unknown-pool", key="split" in loc)


def _names_in(loc: Loc, match: Any) -> Iterator[tuple[Loc, str]]:
    """Yield every place in ``match`` that names another match, with the name."""
    if not isinstance(match, dict):
        return
    named = match.get("named")
    if isinstance(named, str):
        yield (*loc, "named"), named
    for at, name in entries_of(named):
        if isinstance(name, str):
            yield (*loc, "named", at), name
    for key in ("all", "any"):
        for at, part in entries_of(match.get(key)):
            yield from _names_in((*loc, key, at), part)
    yield from _names_in((*loc, "not"), match.get("not"))


def _named_matches(document: Document) -> Iterator[Problem]:
    """Named matches exist, and none is made of itself."""
    matches = dict(items_of(get(document.data, "matches")))
    uses = {name: list(_names_in(("matches", name), match)) for name, match in matches.items()}
    used = [each for found in uses.values() for each in found]
    for loc, _, route in _routes(document.data):
        used += _names_in((*loc, "match"), route.get("match"))
    for place, name in used:
        if name not in matches and name is not BROKEN:
            message = f"there is no match '{name}' under 'matches'{did_you_mean(name, matches)}"
            yield document.problem(place, message, "unknown-match")
    for start in matches:
        seen: set[str] = set()
        waiting = [name for _, name in uses[start]]
        while waiting:
            name = waiting.pop()
            if name == start:
                message = f"the match '{start}' is made of itself"
                yield document.problem(("matches", start), message, "circle", key=True)
                break
            if name not in seen:
                seen.add(name)
                waiting += [each for _, each in uses.get(name, ())]


def _actions(document: Document) -> Iterator[Problem]:
    """Exactly one action for each HTTP route."""
    for loc, protocol, route in _routes(document.data):
        if protocol != "http":
            continue
        given = [key for key, value in route.items() if key in ACTIONS and value is not None]
        if not given:
            message = f"expected an action: one of {', '.join(ACTIONS)}"
            yield document.problem(loc, message, "action")
        for extra in given[1:]:
            message = f"expected one action, got '{extra}' beside '{given[0]}'"
            yield document.problem((*loc, extra), message, "action", key=True)


def _exchanges(document: Document) -> Iterator[Problem]:
    """How servers are dealt with is said where there are any."""
    for loc, protocol, route in _routes(document.data):
        if protocol != "http" or not any(route.get(key) is not None for key in ACTIONS):
            continue
        for key in SERVER_KEYS:
            if route.get(key) is not None and route.get("pool") is None and route.get("split") is None:
                message = f"expected '{key}' beside 'pool' or 'split' only: no server is asked here"
                yield document.problem((*loc, key), message, "action", key=True)


def _hedges(document: Document) -> Iterator[Problem]:
    """Clients that stick to a server are not sent to another meanwhile."""
    pools = get(document.data, "pools")
    message = "expected no 'hedge' where clients stick to their servers ('sticky' of the pool{})"
    for name, pool in items_of(pools):
        if get(pool, "hedge") not in (None, False) and get(pool, "sticky") is not None:
            yield document.problem(("pools", name, "hedge"), message.format(""), "action", key=True)
    for loc, _, route in _routes(document.data):
        split = route.get("split")
        weights = get(split, "weights")
        names = [route.get("pool"), *(name for name, _ in items_of(weights if isinstance(weights, dict) else split))]
        sticky = [name for name in names if isinstance(name, str) and get(pools, name, "sticky") is not None]
        if route.get("hedge") not in (None, False) and sticky:
            yield document.problem((*loc, "hedge"), message.format(f" '{sticky[0]}'"), "action", key=True)


def _destinations(document: Document) -> Iterator[Problem]:
    """A listener has routes, or the short form ``pool``."""
    for name, listener in items_of(get(document.data, "listeners")):
        if not isinstance(listener, dict):
            continue
        pool = listener.get("pool") is not None
        if "routes" in listener and pool:
            message = "expected either 'routes' or 'pool', which is short for one route; got both"
            yield document.problem(("listeners", name, "pool"), message, "action", key=True)
        elif "routes" not in listener and not pool and not _only_redirects(listener):
            yield document.problem(("listeners", name), "expected 'routes' or 'pool'", "missing")


def _only_redirects(listener: dict[str, Any]) -> bool:
    return protocol_of(listener) == "http" and listener.get("redirect_https") not in (None, False)


def _names(document: Document) -> Iterator[Problem]:
    """Names of routes in a listener, and of servers in a pool, are given once."""
    yield from _repeated(document, "listeners", "routes", "route")
    yield from _repeated(document, "pools", "servers", "server")
    yield from _repeated(document, "tests", "", "test")


def _repeated(document: Document, section: str, inner: str, noun: str) -> Iterator[Problem]:
    whole = get(document.data, section)
    groups = (
        ((((section, name, inner), get(part, inner))) for name, part in items_of(whole))
        if inner
        else [((section,), whole)]
    )
    for loc, entries in groups:
        seen: dict[str, int] = {}
        for at, entry in entries_of(entries):
            name = get(entry, "name")
            if not isinstance(name, str) or name is BROKEN:
                continue
            if name in seen:
                first = document.problem((*loc, seen[name], "name"), "").line
                message = f"expected each {noun} to have its own name, '{name}' is in line {first} already"
                yield document.problem((*loc, at, "name"), message, "duplicate")
            else:
                seen[name] = at


def _tests(document: Document) -> Iterator[Problem]:
    """Routing tests speak of listeners of their protocol, and of routes that exist."""
    by_protocol: dict[str, dict[str, Any]] = {"http": {}, "tcp": {}, "udp": {}}
    for name, part in items_of(get(document.data, "listeners")):
        by_protocol.setdefault(protocol_of(part), {})[name] = part
    for at, test in entries_of(get(document.data, "tests")):
        chosen, route = get(test, "listener"), get(test, "expect", "route")
        protocol, port = _tested(get(test, "request", "url"))
        listeners, words = by_protocol[protocol], protocol.upper()
        if isinstance(chosen, str) and chosen not in listeners:
            message = f"there is no {words} listener '{chosen}'{did_you_mean(chosen, listeners)}"
            yield document.problem(("tests", at, "listener"), message, "unknown-listener")
            continue
        if not listeners:
            yield document.problem(
                ("tests", at),
                f"expected {'an' if words == 'HTTP' else 'a'} {words} listener to test, there is none",
                "unknown-listener",
            )
            continue
        on_port = (name for name, part in listeners.items() if port and _is_on(part, port))
        name = chosen if isinstance(chosen, str) else next(on_port, next(iter(listeners)))
        names = _route_names(name, listeners[name])
        if isinstance(route, str) and route not in names and route is not BROKEN:
            message = f"there is no route '{route}' in the listener '{name}'{did_you_mean(route, names)}"
            yield document.problem(("tests", at, "expect", "route"), message, "unknown-route")


def _is_on(listener: Any, port: str) -> bool:
    bind = get(listener, "bind")
    texts = [bind] if isinstance(bind, str) else [each for _, each in entries_of(bind)]
    return any(isinstance(text, str) and text.endswith(port) for text in texts)


def _tested(url: Any) -> tuple[str, str]:
    """Return the protocol of the listeners that a test is about, and for sessions the port as it ends a ``bind``."""
    scheme, separator, rest = url.partition("://") if isinstance(url, str) else ("", "", "")
    protocol = {"tcp": "tcp", "tls": "tcp", "udp": "udp"}.get(scheme, "http") if separator else "http"
    _, colon, port = rest.rstrip("/").rpartition(":")
    return protocol, colon + port if protocol != "http" and port.isdigit() else ""


def _route_names(listener: str, data: Any) -> set[str]:
    if "routes" not in data:
        return {listener}
    return {str(get(route, "name") or f"{listener}[{at}]") for at, route in entries_of(data["routes"])}


def _redirects(document: Document) -> Iterator[Problem]:
    """Names in a redirect's target are facts of the request, or captured by every path of the route."""
    for loc, protocol, route in _routes(document.data):
        redirect = route.get("redirect") if protocol == "http" else None
        places = (
            [((*loc, "redirect"), redirect)]
            if isinstance(redirect, str)
            else [((*loc, "redirect", key), get(redirect, key)) for key in ("to", "path")]
        )
        for place, text in places:
            if not isinstance(text, str) or text is BROKEN:
                continue
            try:
                template = Template(text)
                captures = _captures(get(route, "match", "path"))
                if captures is not None:
                    template.check(captures)
            except ValueError as error:
                yield document.problem(place, str(error))


def _captures(path: Any) -> frozenset[str] | None:
    """Return the names that every one of a route's paths captures; None where a path is wrong."""
    named: list[frozenset[str]] = []
    for each in path if isinstance(path, list) else [path] if path is not None else []:
        if isinstance(each, str):
            try:
                named.append(frozenset(PathPattern.parse(each).names))
            except ValueError:
                return None
        else:
            expression = get(each, "regex")
            named.append(frozenset(_GROUP.findall(expression)) if isinstance(expression, str) else frozenset())
    return frozenset.intersection(*named) if named else frozenset()


_GROUP = re.compile(r"\(\?P?<([A-Za-z_][A-Za-z0-9_]*)>")


def _addresses(document: Document) -> Iterator[Problem]:
    """A server is in a pool once."""
    for name, pool in items_of(get(document.data, "pools")):
        seen: dict[Address, int] = {}
        for at, server in entries_of(get(pool, "servers")):
            text = server if isinstance(server, str) else get(server, "address")
            try:
                address = Address.parse(text) if isinstance(text, str) else None
            except ValueError:
                continue
            if address is None:
                continue
            if address in seen:
                first = document.problem(("pools", name, "servers", seen[address]), "").line
                message = f"expected each server once, {text!r} is in line {first} already (give it a weight instead)"
                yield document.problem(("pools", name, "servers", at, "address"), message, "duplicate")
            seen.setdefault(address, at)


def _introductions(document: Document) -> Iterator[Problem]:
    """Datagrams have no PROXY header: a pool that sends one is for connections."""
    pools = get(document.data, "pools")
    protocols = {name: protocol_of(part) for name, part in items_of(get(document.data, "listeners"))}
    for loc, name in _pool_references(document.data):
        if protocols.get(str(loc[1])) == "udp" and get(pools, name, "proxy_protocol") is not None:
            message = f"the pool '{name}' has a 'proxy_protocol', which datagrams cannot begin with"
            yield document.problem(loc, message, "protocol")


def _offered(document: Document) -> Iterator[Problem]:
    """Requests need a pool whose servers are offered a version of HTTP, where it says what they are offered."""
    pools = get(document.data, "pools")
    protocols = {name: protocol_of(part) for name, part in items_of(get(document.data, "listeners"))}
    for loc, name in _pool_references(document.data):
        alpn = get(pools, name, "tls", "alpn")
        alpn = [alpn] if isinstance(alpn, str) else [each for _, each in entries_of(alpn)]
        if protocols.get(str(loc[1])) == "http" and alpn and not {"h2", "http/1.1"}.intersection(map(str, alpn)):
            message = f"the pool '{name}' offers its servers neither h2 nor http/1.1 ('alpn' in its 'tls')"
            yield document.problem(loc, message, "protocol")


_PARTS: tuple[Callable[[Document], Iterator[Problem]], ...] = (
    _unknown_pools,
    _named_matches,
    _actions,
    _exchanges,
    _hedges,
    _destinations,
    encryption,
    _names,
    _addresses,
    _tests,
    binds,
    admin,
    _redirects,
    _introductions,
    _offered,
)
