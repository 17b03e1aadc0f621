"""Layer-4 routes that can never be reached."""

from __future__ import annotations

import ipaddress
import random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.address import Peer
from balancer.model.facts import SessionFacts
from balancer.model.patterns import HostPattern
from balancer.routing.l4 import L4Route, L4Routes, decide
from balancer.routing.l4_reachability import unreachable_sessions


def route(name: str, **given: Any) -> L4Route:
    return L4Route(
        name,
        "pool",
        tuple(map(ipaddress.ip_network, given.get("clients", ()))),
        tuple(map(ipaddress.ip_address, given.get("addresses", ()))),
        tuple(given.get("ports", ())),
        tuple(map(HostPattern.parse, given.get("sni", ()))),
        tuple(given.get("alpn", ())),
    )


class UnreachableTests(SynchronousTestCase):
    def hidden(self, *routes: L4Route) -> list[str]:
        return [str(each) for each in unreachable_sessions(L4Routes(routes))]

    def test_twice(self) -> None:
        """Of two routes with the same conditions the second is never reached."""
        for given in ({}, {"sni": ["a.example"]}, {"clients": ["10.0.0.0/8"]}, {"alpn": ["h2"]}, {"ports": [1, 2]}):
            self.assertEqual(
                self.hidden(route("a", **given), route("b", **given)),
                ["route 'b' can never be reached: 'a' takes every session it could match"],
            )

    def test_shared(self) -> None:
        """Several may take a route's names, protocols and ports among them."""
        self.assertEqual(
            self.hidden(
                route("a", sni=["a.example", "c.example"]),
                route("b", sni=["*.example"]),
                route("c", sni=["a.example", "*.example"]),
            ),
            ["route 'c' can never be reached: 'a' and 'b' together take every session it could match"],
        )
        self.assertEqual(
            len(self.hidden(route("a", alpn=["h2"]), route("b", alpn=["h3"]), route("c", alpn=["h3", "h2"]))), 1
        )

    def test_reachable(self) -> None:
        """A route with any condition more, or another name, is reached; so is what stands before."""
        for one, other in (
            ({}, {"sni": ["a.example"]}),
            ({"sni": ["*.example"]}, {"sni": ["a.example"]}),
            ({"sni": ["a.example"]}, {"sni": ["*.example"]}),
            ({"sni": ["a.example"]}, {"sni": ["a.example"], "alpn": ["h2"]}),
            ({"alpn": ["h2"]}, {"alpn": ["h2", "h3"]}),
            ({"clients": ["10.0.0.0/8"]}, {"clients": ["10.0.0.0/9"]}),
            ({"sni": ["a.example"]}, {"sni": ["a.example", "b.example"]}),
        ):
            self.assertEqual(self.hidden(route("a", **one), route("b", **other)), [])
        self.assertEqual(self.hidden(route("a", sni=["a.example"]), route("b"), route("c", ports=[1])), [])

    def test_too_many_to_look_at(self) -> None:
        """A route with very many combinations is let be."""
        many = {"ports": range(1, 1000), "addresses": [f"10.0.0.{number}" for number in range(1, 200)]}
        self.assertEqual(self.hidden(route("a", **many), route("b", **many)), [])

    def test_never_wrong(self) -> None:
        """No session reaches what is said to be hidden, whatever routes there are."""
        draw = random.Random(5)

        def some(*values: Any) -> list[Any]:
            return draw.sample(values, draw.randrange(0, 3))

        found = 0
        for _ in range(60):
            routes = [
                route(
                    f"r{number}",
                    sni=some("a.example", "*.example", "b.example"),
                    alpn=some("h2", "h3"),
                    clients=some("10.0.0.0/8", "10.0.0.0/16"),
                    ports=some(1, 2),
                )
                for number in range(40)
            ]
            table = L4Routes(routes)
            hidden = {each.route.name for each in unreachable_sessions(table)}
            found += len(hidden)
            for _ in range(200):
                facts = SessionFacts(
                    Peer(draw.choice(("10.0.0.1", "10.1.0.1", "192.0.2.1")), 1),
                    Peer("192.0.2.9", draw.choice((1, 2, 3))),
                    draw.choice((None, "", "a.example", "b.example", "c.example")),
                )
                facts.alpn = some("h2", "h3", "x") if facts.sni is not None else ()
                self.assertNotIn(decide(table, facts).route, hidden)
        self.assertGreater(found, 20)
