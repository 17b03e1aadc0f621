"""Where a TCP session or UDP flow would go, and why, without any I/O.

As for requests (:mod:`.explaining`): the routes that decide live decide here, and the pool's own selection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from balancer.errors import DESTINATION_NOT_FOUND, BalancerError
from balancer.listeners.tcp import TCPSettings
from balancer.listeners.udp import UDPSettings
from balancer.model.address import Address, Peer
from balancer.model.facts import SessionFacts
from balancer.model.patterns import HostPattern
from balancer.routing.l4 import decide
from balancer.routing.l4 import explain as candidates
from balancer.service.explaining import Explanation
from balancer.service.snapshot import Snapshot

__all__ = ["SESSION_SCHEMES", "SessionSample", "explain_session", "is_session", "server_name"]

SESSION_SCHEMES = ("tcp", "tls", "udp")
"""URLs that mean sessions. ``tls`` is TCP with a client that speaks TLS and asks for the URL's host."""


@dataclass(frozen=True, slots=True)
class SessionSample:
    """A session to explain.

    ``url`` is ``tcp://HOST:PORT``, ``tls://…`` or ``udp://…``: where the client connects to. ``sni`` and ``alpn`` are what a TLS client asks
    for; with neither, one of ``tcp://…`` does not speak TLS.
    """

    url: str
    client_ip: str = "127.0.0.1"
    listener: str | None = None
    sni: str | None = None
    alpn: Sequence[str] = ()


def is_session(url: str) -> bool:
    """Whether ``url`` means a session, and not a request."""
    return url.partition("://")[0].lower() in SESSION_SCHEMES and "://" in url


def server_name(text: str) -> str:
    """Return a name as a TLS client sends it, ``""`` for none.

    Raises:
        ValueError: saying what was expected instead.
    """
    if not text:
        return ""
    pattern = HostPattern.parse(text)
    if pattern.wildcard or ":" in pattern.name:
        raise ValueError(f"expected a server name such as 'shop.example', got {text!r}")
    return pattern.name


def explain_session(snapshot: Snapshot, sample: SessionSample, draw: Callable[[], float]) -> Explanation:
    """Return where ``sample`` would go.

    Raises:
        BalancerError: if there is no such listener.
        ValueError: if the URL, the client's address or the server name is none.
    """
    parts = urlsplit(sample.url)
    if not parts.netloc or parts.path.strip("/") or parts.query:
        raise ValueError(f"expected {parts.scheme}://HOST:PORT, got {sample.url!r}")
    host, port = parts.hostname or "", parts.port
    name, settings = _listener(snapshot, sample, port)
    found = Explanation(name)
    sni = None if sample.sni is None else server_name(sample.sni)
    if sni is None and parts.scheme == "tls":
        sni = "" if _is_address(host) else server_name(host)
    elif sni is None and sample.alpn:
        sni = ""
    ip_address(sample.client_ip)
    local = _local(snapshot, name, host, port)
    facts = SessionFacts(Peer(sample.client_ip, 0), local)
    peeks = settings.routes.peeks
    if peeks:
        facts.sni, facts.alpn = sni, tuple(sample.alpn)
    decision = decide(settings.routes, facts)
    found.route, found.action = decision.route, decision.action
    for candidate in candidates(settings.routes, facts):
        if candidate.route != decision.route:
            why = candidate.why_not or "matches too, but a more specific route goes first"
            found.rejected.append({"route": candidate.route, "because": why})
    if decision.pool is None:
        found.reason = f"{DESTINATION_NOT_FOUND.code}: {_fate(settings, facts)}"
        return found
    found.pool = decision.pool
    for server, eligible, why in snapshot.pools[decision.pool].explain(facts, draw):
        found.candidates.append(
            {"server": server.name, "address": str(server.address), "eligible": eligible, "because": why}
        )
        if eligible and found.server is None:
            found.server = server.name
    return found


def _fate(settings: TCPSettings | UDPSettings, facts: SessionFacts) -> str:
    if isinstance(settings, UDPSettings):
        return "no route takes it, its datagrams are dropped"
    if facts.sni is None:
        return "no route takes it, the client is closed"
    alert = "no_application_protocol" if settings.routes.lacks_protocol(facts) else "unrecognized_name"
    return f"no route takes it, the client is closed with the TLS alert {alert}"


def _listener(snapshot: Snapshot, sample: SessionSample, port: int | None) -> tuple[str, TCPSettings | UDPSettings]:
    kind: type[TCPSettings | UDPSettings] = UDPSettings if sample.url.lower().startswith("udp:") else TCPSettings
    protocol = "UDP" if kind is UDPSettings else "TCP"
    known = {name: settings for name, settings in snapshot.listeners.items() if isinstance(settings, kind)}
    if sample.listener is not None:
        if sample.listener not in known:
            names = ", ".join(known) or "none"
            raise BalancerError(f"there is no {protocol} listener {sample.listener!r}; {protocol} listeners: {names}")
        return sample.listener, known[sample.listener]
    if not known:
        raise BalancerError(f"the configuration has no {protocol} listener to explain a session for")
    for name in known:
        if port is not None and any(address.port == port for address in _binds(snapshot, name)):
            return name, known[name]
    return next(iter(known.items()))


def _binds(snapshot: Snapshot, name: str) -> list[Address]:
    """Return where a listener is, as far as that is an address."""
    found = []
    for bind in snapshot.config.listeners[name].bind:
        try:
            found.append(Address.parse(f"0.0.0.0{bind[1:]}" if bind.startswith("*:") else bind))
        except ValueError:
            continue
    return found


def _local(snapshot: Snapshot, name: str, host: str, port: int | None) -> Peer:
    """Return the address of ours that the client connects to: the URL's, or what the listener's ``bind`` says."""
    binds = _binds(snapshot, name)
    bound = next((each for each in binds if each.port == port), binds[0] if binds else Address("127.0.0.1", 0))
    if not _is_address(host):
        specific = bound.ip is not None and not bound.ip.is_unspecified
        host = bound.host if specific else "127.0.0.1"
    return Peer(host, bound.port if port is None else port)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
