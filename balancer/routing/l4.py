"""Layer-4 routes: which pool takes a session, by the client's network and our own address and port.

All conditions of a route must hold. Of the routes that do, the most specific wins: the longest client prefix, then
the one that names a local address, then the one that names a local port, then the first in the file.

Networks are kept by family and prefix length, one dictionary each: a decision costs one lookup per length in use,
whether there are ten networks or ten thousand.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from balancer.model.address import IPAddress
from balancer.model.decision import Decision
from balancer.model.facts import SessionFacts

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

    def takes_local(self, facts: SessionFacts) -> bool:
        """Whether the conditions on our end of the session hold."""
        local = facts.local
        if self.local_ports and local.port not in self.local_ports:
            return False
        return not self.local_addresses or local.ip in self.local_addresses

    def first_failing(self, facts: SessionFacts) -> str:
        """Return the first condition that does not hold, in words; ``""`` if all do."""
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

    __slots__ = ("decision", "local", "rank", "route")

    def __init__(self, route: L4Route, place: int) -> None:
        self.route = route
        self.rank = (not route.local_addresses, not route.local_ports, place)
        self.local = bool(route.local_addresses or route.local_ports)
        self.decision = Decision(route=route.name, action="pool", pool=route.pool, entry=route)


class L4Routes:
    """The routes of one listener, made ready for :func:`decide`."""

    def __init__(self, routes: Iterable[L4Route]) -> None:
        self.routes: Sequence[L4Route] = tuple(routes)
        self._anyone: list[_Ranked] = []
        networks: dict[int, dict[int, dict[int, list[_Ranked]]]] = {4: {}, 6: {}}
        for place, route in enumerate(self.routes):
            ranked = _Ranked(route, place)
            if not route.clients:
                self._anyone.append(ranked)
            for network in dict.fromkeys(route.clients):
                shift = network.max_prefixlen - network.prefixlen
                same_length = networks[network.version].setdefault(shift, {})
                same_length.setdefault(int(network.network_address) >> shift, []).append(ranked)
        self._anyone.sort(key=_rank)
        for lengths in networks.values():
            for same_length in lengths.values():
                for alternatives in same_length.values():
                    alternatives.sort(key=_rank)
        # By family, longest prefix (smallest shift) first.
        self._networks = {family: sorted(lengths.items(), key=_first) for family, lengths in networks.items()}
        self._by_client = any(self._networks.values())

    def find(self, facts: SessionFacts) -> Decision:
        """Return the decision for ``facts``; its action is ``"none"`` if no route takes the session."""
        if self._by_client:
            client = facts.peer.ip
            if client is not None:
                number = int(client)
                for shift, same_length in self._networks[client.version]:
                    for ranked in same_length.get(number >> shift, ()):
                        if not ranked.local or ranked.route.takes_local(facts):
                            return ranked.decision
        for ranked in self._anyone:
            if not ranked.local or ranked.route.takes_local(facts):
                return ranked.decision
        return _NOBODY


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


def _listed(values: Sequence[object], most: int = 4) -> str:
    shown = [str(value) for value in values[:most]]
    if len(values) > most:
        shown.append(f"{len(values) - most} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"
