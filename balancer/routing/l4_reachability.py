"""Which layer-4 routes can never be reached, because others before them take every session they could match.

A route with a wider condition gives way to one with a narrower (:mod:`.l4`), so only routes of the same kind hide one another: the same
server name, the same network, both with or both without protocols, local addresses and local ports. A route is hidden where for each of
its names and networks each combination of its protocols, addresses and ports is taken by a route before it in the file; several
may share them among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from balancer.model.address import IPAddress
from balancer.model.patterns import HostPattern, Network
from balancer.routing.l4 import L4Route, L4Routes

__all__ = ["HiddenSessionRoute", "unreachable_sessions"]

_Place = tuple[HostPattern | None, Network | None, str | None, IPAddress | None, int | None]
"""One combination of a route's conditions; None where it has none of the kind."""

_MOST_PLACES = 100_000
"""A route with more combinations than this is not looked at."""


@dataclass(frozen=True, slots=True)
class HiddenSessionRoute:
    """A route that cannot be reached, its ``order`` in the file, and the routes that take its sessions."""

    order: int
    route: L4Route
    by: tuple[L4Route, ...]

    def __str__(self) -> str:
        names = " and ".join(repr(route.name) for route in self.by)
        take = "takes" if len(self.by) == 1 else "together take"
        return f"route {self.route.name!r} can never be reached: {names} {take} every session it could match"


def unreachable_sessions(routes: L4Routes) -> list[HiddenSessionRoute]:
    """Return the routes that no session can reach, in the order of the file."""
    taken: dict[_Place, L4Route] = {}
    hidden = []
    for order, route in enumerate(routes.routes):
        if _count(route) > _MOST_PLACES:
            continue
        takers: dict[L4Route, None] = {}
        reachable = False
        for place in _places(route):
            taker = taken.setdefault(place, route)
            if taker is route:
                reachable = True
            else:
                takers[taker] = None
        if not reachable:
            hidden.append(HiddenSessionRoute(order, route, tuple(takers)))
    return hidden


def _places(route: L4Route) -> Iterator[_Place]:
    return product(
        route.sni or (None,),
        route.clients or (None,),
        route.alpn or (None,),
        route.local_addresses or (None,),
        route.local_ports or (None,),
    )


def _count(route: L4Route) -> int:
    count = 1
    for values in (route.sni, route.clients, route.alpn, route.local_addresses, route.local_ports):
        count *= len(values) or 1
    return count
