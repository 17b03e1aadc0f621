"""The addresses that a configuration listens on: none twice, none too open."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from balancer.config.document import BROKEN, Document, Loc
from balancer.config.raw import entries_of, get, items_of, protocol_of
from balancer.errors import Problem

__all__ = ["admin", "binds"]


def _bindings(data: Any) -> Iterator[tuple[Loc, str, str]]:
    """Yield place, transport (``tcp`` or ``udp``) and text of every address to listen on."""
    places: list[tuple[Loc, str, Any]] = [
        (("listeners", name), "udp" if protocol_of(part) == "udp" else "tcp", part)
        for name, part in items_of(get(data, "listeners"))
    ]
    places += [((name,), "tcp", get(data, name)) for name in ("metrics", "admin")]
    for loc, transport, part in places:
        bind = get(part, "bind")
        if isinstance(bind, str):
            yield (*loc, "bind"), transport, bind
        for at, text in entries_of(bind):
            if isinstance(text, str):
                yield (*loc, "bind", at), transport, text


def binds(document: Document) -> Iterator[Problem]:
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
    if not colon or not port.isdecimal() or text.startswith(("unix:", "systemd:", "tcp:", "tcp6:", "haproxy:")):
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


def admin(document: Document) -> Iterator[Problem]:
    """The admin API is open to a machine's own users, or to who has the token."""
    api = get(document.data, "admin")
    for loc, _, text in _bindings({"admin": api}):
        if not text.startswith("unix:") and get(api, "token") is None and text is not BROKEN:
            yield document.problem(loc, "expected a 'token' beside an address that is no unix socket", "admin")
