"""Layer-4 routes: which pool takes a session, by what its ClientHello asks for, the client's network, and our own address and port.

All conditions of a route must hold. Of the routes that do, the most specific wins: an exact server name, then the longest
wildcard; then the one that names protocols (ALPN); then the longest client prefix, then the one that names a local address, then the
one that names a local port, then the first in the file.

Names are kept in a dictionary, wildcards by what follows the star, networks by family and prefix length: a decision costs one lookup
for each label of the name and each length in use, whether there are ten routes or ten thousand. Where no route asks for a name or a
protocol nothing of this costs anything, and nobody need look at the hello (:attr:`L4Routes.peeks`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from balancer.model.address import IPAddress
from balancer.model.decision import Decision
from balancer.model.facts import SessionFacts
from balancer.model.patterns import HostPattern

__all__ = ["Candidate", "L4Route", "L4Routes", "decide", "explain"]

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_NOBODY = Decision(route="", action="none")


@dataclass(frozen=True, slots=True)
class L4Route:
    """One route: where sessions go that meet every condition given. No condition at all takes everything."""

    name: str
    pool: str
    clients: tuple[IPNetwork, ...] = ()
    local_addresses: tuple[IPAddress, ...] = ()
    local_ports: tuple[int, ...] = ()
    sni: tuple[HostPattern, ...] = ()
    alpn: tuple[str, ...] = ()

    def takes(self, facts: SessionFacts) -> bool:
        """Whether the conditions hold that the index leaves out: on protocols, and on our end of the session."""
        local = facts.local
        if self.local_ports and local.port not in self.local_ports:
            return False
        if self.alpn and not any(protocol in self.alpn for protocol in facts.alpn):
            return False
        return not self.local_addresses or local.ip in self.local_addresses

    def first_failing(self, facts: SessionFacts) -> str:
        """Return the first condition that does not hold, in words; ``""`` if all do."""
        if (self.sni or self.alpn) and facts.sni is None:
            return "the client does not speak TLS"
        if self.sni and not any(_matches(pattern, facts.sni or "") for pattern in self.sni):
            wanted = _listed(self.sni)
            return (
                f"server name {facts.sni} is not {wanted}"
                if facts.sni
                else f"no server name was asked for: not {wanted}"
            )
        if self.alpn and not any(protocol in self.alpn for protocol in facts.alpn):
            offered = _listed(facts.alpn, last="and") if facts.alpn else "no protocol (ALPN)"
            return f"the client offers {offered}, not {_listed(self.alpn)}"
        client = facts.peer.ip
        if self.clients and (client is None or not any(client in network for network in self.clients)):
            return f"client {facts.peer.host or 'of a unix socket'} is not in {_listed(self.clients)}"
        if self.local_addresses and facts.local.ip not in self.local_addresses:
            return f"local address {facts.local.host or 'of a unix socket'} is not {_listed(self.local_addresses)}"
        if self.local_ports and facts.local.port not in self.local_ports:
            return f"local port {facts.local.port} is not {_listed(self.local_ports)}"
        return ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A route as it stands for one session; ``why_not`` is ``""`` if it takes it."""

    route: str
    pool: str
    why_not: str


class _Ranked:
    """A route in its order among those that share a network, with its decision made beforehand."""

    __slots__ = ("asks", "decision", "rank", "route")

    def __init__(self, route: L4Route, place: int) -> None:
        self.route = route
        self.rank = (not route.local_addresses, not route.local_ports, place)
        self.asks = bool(route.local_addresses or route.local_ports or route.alpn)
        self.decision = Decision(route=route.name, action="pool", pool=route.pool, entry=route)


class _Clients:
    """Routes by the client's network, the longest first."""

    __slots__ = ("_anyone", "_by_client", "_networks")

    def __init__(self, routes: Iterable[_Ranked]) -> None:
        self._anyone: list[_Ranked] = []
        networks: dict[int, dict[int, dict[int, list[_Ranked]]]] = {4: {}, 6: {}}
        for ranked in sorted(routes, key=_rank):
            if not ranked.route.clients:
                self._anyone.append(ranked)
            for network in dict.fromkeys(ranked.route.clients):
                shift = network.max_prefixlen - network.prefixlen
                same_length = networks[network.version].setdefault(shift, {})
                same_length.setdefault(int(network.network_address) >> shift, []).append(ranked)
        # By family, longest prefix (smallest shift) first.
        self._networks = {family: sorted(lengths.items(), key=_first) for family, lengths in networks.items()}
        self._by_client = any(self._networks.values())

    def find(self, facts: SessionFacts) -> Decision | None:
        """Return the decision for ``facts``, None if no route takes the session."""
        if self._by_client:
            client = facts.peer.ip
            if client is not None:
                number = int(client)
                for shift, same_length in self._networks[client.version]:
                    for ranked in same_length.get(number >> shift, ()):
                        if not ranked.asks or ranked.route.takes(facts):
                            return ranked.decision
        for ranked in self._anyone:
            if not ranked.asks or ranked.route.takes(facts):
                return ranked.decision
        return None


class _Named:
    """The routes of one server name: those that name protocols before the others."""

    __slots__ = ("_by_protocol", "_others")

    def __init__(self, routes: Sequence[_Ranked]) -> None:
        by_protocol = [ranked for ranked in routes if ranked.route.alpn]
        self._by_protocol = _Clients(by_protocol) if by_protocol else None
        self._others = _Clients(ranked for ranked in routes if not ranked.route.alpn)

    def find(self, facts: SessionFacts) -> Decision | None:
        """Return the decision for ``facts``, None if no route takes the session."""
        if self._by_protocol is not None and facts.alpn:
            found = self._by_protocol.find(facts)
            if found is not None:
                return found
        return self._others.find(facts)


class L4Routes:
    """The routes of one listener, made ready for :func:`decide`.

    ``peeks`` says whether any of them asks for what only the client's hello tells.
    """

    def __init__(self, routes: Iterable[L4Route]) -> None:
        self.routes: Sequence[L4Route] = tuple(routes)
        self.peeks = any(route.sni or route.alpn for route in self.routes)
        self._protocols = tuple(dict.fromkeys(protocol for route in self.routes for protocol in route.alpn))
        by_name: dict[HostPattern | None, list[_Ranked]] = {}
        for place, route in enumerate(self.routes):
            ranked = _Ranked(route, place)
            for pattern in dict.fromkeys(route.sni) or (None,):
                by_name.setdefault(pattern, []).append(ranked)
        self._nameless = _Named(by_name.pop(None, []))
        named = {pattern: _Named(ranked) for pattern, ranked in by_name.items() if pattern is not None}
        self._exact = {pattern.name: each for pattern, each in named.items() if not pattern.wildcard}
        self._wildcards = {pattern.name: each for pattern, each in named.items() if pattern.wildcard}

    def find(self, facts: SessionFacts) -> Decision:
        """Return the decision for ``facts``; its action is ``"none"`` if no route takes the session."""
        if facts.sni:
            for named in self._of_name(facts.sni):
                found = named.find(facts)
                if found is not None:
                    return found
        return self._nameless.find(facts) or _NOBODY

    def _of_name(self, name: str) -> Iterator[_Named]:
        """Yield the routes of ``name``, then those of the wildcards that it matches, the longest first."""
        exact = self._exact.get(name)
        if exact is not None:
            yield exact
        if self._wildcards:
            _, dot, rest = name.partition(".")
            while dot:
                wildcard = self._wildcards.get(rest)
                if wildcard is not None:
                    yield wildcard
                _, dot, rest = rest.partition(".")

    def lacks_protocol(self, facts: SessionFacts) -> bool:
        """Whether a session that no route takes would be taken if the client offered other protocols (ALPN)."""
        if not self._protocols or facts.sni is None:
            return False
        return self.find(SessionFacts(facts.peer, facts.local, facts.sni, self._protocols)).pool is not None


def decide(routes: L4Routes, facts: SessionFacts) -> Decision:
    """Decide where a session goes. Pure: the live path and ``balancer explain`` both call this."""
    return routes.find(facts)


def explain(routes: L4Routes, facts: SessionFacts) -> list[Candidate]:
    """Return every route in file order, with what keeps it from taking the session."""
    return [Candidate(route.name, route.pool, route.first_failing(facts)) for route in routes.routes]


def _rank(ranked: _Ranked) -> tuple[bool, bool, int]:
    return ranked.rank


def _first(item: tuple[int, dict[int, list[_Ranked]]]) -> int:
    return item[0]


def _matches(pattern: HostPattern, name: str) -> bool:
    return name.endswith(f".{pattern.name}") if pattern.wildcard else name == pattern.name


def _listed(values: Sequence[object], most: int = 4, last: str = "or") -> str:
    shown = [str(value) for value in values[:most]]
    if len(values) > most:
        shown.append(f"{len(values) - most} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} {last} {shown[-1]}"
