"""What a schema cannot say: names that must exist, keys that exclude each other, addresses that collide.

Works on the data as written, not on the validated tree, so that these problems are reported together with those of the
schema; what has the wrong shape is passed over here, because the schema has reported it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Iterator
from typing import Any

from balancer.config.document import BROKEN, Document, Loc
from balancer.config.routes import ACTIONS
from balancer.errors import Problem
from balancer.model.address import Address
from balancer.model.suggestions import did_you_mean
from balancer.model.template import Template

__all__ = ["check"]


def check(document: Document) -> list[Problem]:
    """Return every problem between parts of the configuration."""
    return [problem for part in _PARTS for problem in part(document)]


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()


def _entries(value: Any) -> Iterator[tuple[int, Any]]:
    if isinstance(value, list):
        yield from enumerate(value)


def _get(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _routes(data: Any) -> Iterator[tuple[Loc, str, dict[str, Any]]]:
    """Yield place, protocol and data of every route."""
    for name, listener in _items(_get(data, "listeners")):
        for at, route in _entries(_get(listener, "routes")):
            if isinstance(route, dict):
                yield ("listeners", name, "routes", at), _protocol(listener), route


def _protocol(listener: Any) -> str:
    protocol = listener.get("protocol", "http") if isinstance(listener, dict) else ""
    return protocol if isinstance(protocol, str) else ""


def _pool_references(data: Any) -> Iterator[tuple[Loc, str]]:
    """Yield every place that names a pool traffic may go to, with the name; for a split that is its key."""
    for name, listener in _items(_get(data, "listeners")):
        if isinstance(_get(listener, "pool"), str):
            yield ("listeners", name, "pool"), listener["pool"]
    for loc, _, route in _routes(data):
        if isinstance(route.get("pool"), str):
            yield (*loc, "pool"), route["pool"]
        split = route.get("split")
        weights = _get(split, "weights")
        inner = ("weights",) if isinstance(weights, dict) else ()
        for pool, _ in _items(weights if inner else split):
            yield (*loc, "split", *inner, pool), pool


def _unknown_pools(document: Document) -> Iterator[Problem]:
    pools = _get(document.data, "pools")
    known: Collection[str] = pools if isinstance(pools, dict) else ()
    expected = (
        (("tests", at, "expect", "pool"), _get(test, "expect", "pool"))
        for at, test in _entries(_get(document.data, "tests"))
    )
    for loc, name in (*_pool_references(document.data), *expected):
        if isinstance(name, str) and name not in known and name is not BROKEN:
            message = f"there is no pool '{name}'{did_you_mean(name, known)}"
            yield document.problem(loc, message, "unknown-pool", key="split" in loc)


def _actions(document: Document) -> Iterator[Problem]:
    """Exactly one action for each HTTP route."""
    for loc, protocol, route in _routes(document.data):
        if protocol != "http":
            continue
        given = [key for key in route if key in ACTIONS]
        if not given:
            message = f"expected an action: one of {', '.join(ACTIONS)}"
            yield document.problem(loc, message, "action")
        for extra in given[1:]:
            message = f"expected one action, got '{extra}' beside '{given[0]}'"
            yield document.problem((*loc, extra), message, "action", key=True)


def _destinations(document: Document) -> Iterator[Problem]:
    """A listener has routes, or the short form ``pool``."""
    for name, listener in _items(_get(document.data, "listeners")):
        if not isinstance(listener, dict):
            continue
        if "routes" in listener and "pool" in listener:
            message = "expected either 'routes' or 'pool', which is short for one route; got both"
            yield document.problem(("listeners", name, "pool"), message, "action", key=True)
        elif "routes" not in listener and "pool" not in listener:
            yield document.problem(("listeners", name), "expected 'routes' or 'pool'", "missing")


def _names(document: Document) -> Iterator[Problem]:
    """Names of routes in a listener, and of servers in a pool, are given once."""
    yield from _repeated(document, "listeners", "routes", "route")
    yield from _repeated(document, "pools", "servers", "server")
    yield from _repeated(document, "tests", "", "test")


def _repeated(document: Document, section: str, inner: str, noun: str) -> Iterator[Problem]:
    whole = _get(document.data, section)
    groups = (
        ((((section, name, inner), _get(part, inner))) for name, part in _items(whole))
        if inner
        else [((section,), whole)]
    )
    for loc, entries in groups:
        seen: dict[str, int] = {}
        for at, entry in _entries(entries):
            name = _get(entry, "name")
            if not isinstance(name, str) or name is BROKEN:
                continue
            if name in seen:
                first = document.problem((*loc, seen[name], "name"), "").line
                message = f"expected each {noun} to have its own name, '{name}' is in line {first} already"
                yield document.problem((*loc, at, "name"), message, "duplicate")
            else:
                seen[name] = at


def _tests(document: Document) -> Iterator[Problem]:
    """Routing tests speak of HTTP listeners and routes that exist."""
    listeners = {name: part for name, part in _items(_get(document.data, "listeners")) if _protocol(part) == "http"}
    for at, test in _entries(_get(document.data, "tests")):
        chosen, route = _get(test, "listener"), _get(test, "expect", "route")
        if isinstance(chosen, str) and chosen not in listeners:
            message = f"there is no HTTP listener '{chosen}'{did_you_mean(chosen, listeners)}"
            yield document.problem(("tests", at, "listener"), message, "unknown-listener")
            continue
        if not listeners:
            yield document.problem(
                ("tests", at), "expected an HTTP listener to test, there is none", "unknown-listener"
            )
            continue
        name = chosen if isinstance(chosen, str) else next(iter(listeners))
        names = _route_names(name, listeners[name])
        if isinstance(route, str) and route not in names and route is not BROKEN:
            message = f"there is no route '{route}' in the listener '{name}'{did_you_mean(route, names)}"
            yield document.problem(("tests", at, "expect", "route"), message, "unknown-route")


def _route_names(listener: str, data: Any) -> set[str]:
    if "routes" not in data:
        return {listener}
    return {str(_get(route, "name") or f"{listener}[{at}]") for at, route in _entries(data["routes"])}


def _bindings(data: Any) -> Iterator[tuple[Loc, str, str]]:
    """Yield place, transport (``tcp`` or ``udp``) and text of every address to listen on."""
    places: list[tuple[Loc, str, Any]] = [
        (("listeners", name), "udp" if _protocol(part) == "udp" else "tcp", part)
        for name, part in _items(_get(data, "listeners"))
    ]
    places += [((name,), "tcp", _get(data, name)) for name in ("metrics", "admin")]
    for loc, transport, part in places:
        bind = _get(part, "bind")
        if isinstance(bind, str):
            yield (*loc, "bind"), transport, bind
        for at, text in _entries(bind):
            if isinstance(text, str):
                yield (*loc, "bind", at), transport, text


def _binds(document: Document) -> Iterator[Problem]:
    """No two listeners want the same address, and unix sockets carry no datagrams."""
    seen: dict[tuple[str, str], list[tuple[str, Loc, str]]] = {}
    for loc, transport, text in _bindings(document.data):
        if transport == "udp" and not _host_and_port(text):
            yield document.problem(loc, f"expected host:port for UDP, got {text!r}", "bind")
            continue
        host, port = _host_and_port(text) or ("", text)
        if text is BROKEN or port == "0":
            continue
        for other, where, written in seen.get((transport, port), ()):
            if _collide(host, other):
                line = document.problem(where, "").line
                message = f"expected an address of its own, {text!r} collides with {written!r} in line {line}"
                yield document.problem(loc, message, "bind")
                break
        seen.setdefault((transport, port), []).append((host, loc, text))


def _host_and_port(text: str) -> tuple[str, str] | None:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or text.startswith(("unix:", "systemd:", "tcp:", "tcp6:", "fd:")):
        return None
    return host.strip("[]").lower(), str(int(port)) if len(port) < 10 else port


def _collide(one: str, other: str) -> bool:
    """Whether a port can not be bound at both hosts: the same, or one stands for all addresses of the other's family."""
    if one == other or "*" in (one, other):
        return True
    families = []
    for host in (one, other):
        try:
            families.append(ipaddress.ip_address(host.partition("%")[0]))
        except ValueError:
            return False
    first, second = families
    return first.version == second.version and (first.is_unspecified or second.is_unspecified)


def _admin(document: Document) -> Iterator[Problem]:
    """The admin API is open to a machine's own users, or to who has the token."""
    admin = _get(document.data, "admin")
    for loc, _, text in _bindings({"admin": admin}):
        if not text.startswith("unix:") and _get(admin, "token") is None and text is not BROKEN:
            yield document.problem(loc, "expected a 'token' beside an address that is no unix socket", "admin")


def _redirects(document: Document) -> Iterator[Problem]:
    """Names in a redirect's target are facts of the request, or captured by every path of the route."""
    for loc, protocol, route in _routes(document.data):
        redirect = route.get("redirect") if protocol == "http" else None
        places = (
            [((*loc, "redirect"), redirect)]
            if isinstance(redirect, str)
            else [((*loc, "redirect", key), _get(redirect, key)) for key in ("to", "path")]
        )
        for place, text in places:
            if not isinstance(text, str) or text is BROKEN:
                continue
            try:
                Template(text)
            except ValueError as error:
                yield document.problem(place, str(error))


def _addresses(document: Document) -> Iterator[Problem]:
    """A server is in a pool once."""
    for name, pool in _items(_get(document.data, "pools")):
        seen: dict[Address, int] = {}
        for at, server in _entries(_get(pool, "servers")):
            text = server if isinstance(server, str) else _get(server, "address")
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


_PARTS: tuple[Callable[[Document], Iterator[Problem]], ...] = (
    _unknown_pools,
    _actions,
    _destinations,
    _names,
    _addresses,
    _tests,
    _binds,
    _admin,
    _redirects,
)
