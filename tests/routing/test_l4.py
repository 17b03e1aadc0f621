"""Layer-4 routes: by client network and local end, most specific first."""

from __future__ import annotations

import ipaddress
import random

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.address import Peer
from balancer.model.facts import SessionFacts
from balancer.routing.l4 import L4Route, L4Routes, decide, explain


def facts(client: str, port: int = 5432, local: str = "192.0.2.1") -> SessionFacts:
    return SessionFacts(Peer(client, 40000), Peer(local, port))


def route(name: str, *clients: str, addresses: tuple[str, ...] = (), ports: tuple[int, ...] = ()) -> L4Route:
    return L4Route(
        name,
        f"pool-{name}",
        tuple(map(ipaddress.ip_network, clients)),
        tuple(map(ipaddress.ip_address, addresses)),
        ports,
    )


class DecideTests(SynchronousTestCase):
    """Which route takes a session."""

    def decide(self, routes: list[L4Route], session: SessionFacts) -> str:
        return decide(L4Routes(routes), session).route

    def test_no_condition_takes_all(self) -> None:
        """A route without conditions takes every session, and its decision names the pool."""
        decision = decide(L4Routes([route("all")]), facts("203.0.113.5"))
        self.assertEqual((decision.route, decision.action, decision.pool), ("all", "pool", "pool-all"))

    def test_nobody(self) -> None:
        """Where no route takes a session the decision is none."""
        decision = decide(L4Routes([route("inside", "10.0.0.0/8")]), facts("203.0.113.5"))
        self.assertEqual((decision.route, decision.action, decision.pool), ("", "none", None))
        self.assertEqual(decide(L4Routes([]), facts("203.0.113.5")).action, "none")

    def test_longest_prefix_wins(self) -> None:
        """The more specific network wins, whatever the order in the file."""
        routes = [route("all"), route("ten", "10.0.0.0/8"), route("one", "10.1.2.3/32"), route("mid", "10.1.0.0/16")]
        for client, expected in (("10.1.2.3", "one"), ("10.1.9.9", "mid"), ("10.9.9.9", "ten"), ("192.0.2.9", "all")):
            self.assertEqual(self.decide(routes, facts(client)), expected)

    def test_families_apart(self) -> None:
        """IPv6 networks take IPv6 clients; an IPv4 client of a dual-stack socket is an IPv4 client."""
        routes = [route("six", "2001:db8::/32", "::/0"), route("four", "10.0.0.0/8"), route("rest")]
        self.assertEqual(self.decide(routes, facts("2001:db8::1")), "six")
        self.assertEqual(self.decide(routes, facts("::ffff:10.1.1.1")), "four")
        self.assertEqual(self.decide(routes, facts("192.0.2.1")), "rest")

    def test_unix_clients_match_no_network(self) -> None:
        """A client of a unix socket has no address: only routes without networks take it."""
        self.assertEqual(self.decide([route("any4", "0.0.0.0/0"), route("rest")], facts("")), "rest")

    def test_local_end(self) -> None:
        """Local address and port must hold; address goes before port, port before nothing, then file order."""
        routes = [
            route("plain"),
            route("port", ports=(5432, 5433)),
            route("address", addresses=("192.0.2.1",)),
            route("both", addresses=("192.0.2.1",), ports=(5433,)),
            route("late"),
        ]
        for port, local, expected in (
            (5432, "192.0.2.1", "address"),
            (5433, "192.0.2.1", "both"),
            (5432, "192.0.2.2", "port"),
            (1, "192.0.2.2", "plain"),
        ):
            self.assertEqual(self.decide(routes, facts("10.0.0.1", port, local)), expected)

    def test_local_end_that_fails_gives_way(self) -> None:
        """A long prefix whose port does not hold leaves the session to a shorter one."""
        routes = [route("narrow", "10.0.0.0/24", ports=(1,)), route("wide", "10.0.0.0/8")]
        self.assertEqual(self.decide(routes, facts("10.0.0.7")), "wide")

    def test_thousands_agree_with_a_scan(self) -> None:
        """The index finds what looking at every route would find."""
        draw = random.Random(7)
        routes = []
        for number in range(5000):
            length = draw.choice((8, 12, 16, 20, 24, 28, 32))
            base = draw.getrandbits(32) >> (32 - length) << (32 - length)
            ports = (5432,) if draw.random() < 0.3 else ()
            routes.append(route(f"r{number}", f"{ipaddress.ip_address(base)}/{length}", ports=ports))
        table = L4Routes(routes)
        for _ in range(300):
            picked = draw.choice(routes).clients[0]
            client = str(picked[draw.randrange(picked.num_addresses)])
            session = facts(client, draw.choice((5432, 80)))
            taking = [
                (-candidate.clients[0].prefixlen, not candidate.local_ports, place, candidate.name)
                for place, candidate in enumerate(routes)
                if not candidate.first_failing(session)
            ]
            self.assertEqual(decide(table, session).route, min(taking)[3] if taking else "")


class ExplainTests(SynchronousTestCase):
    """Why a route does or does not take a session."""

    def test_first_failing_condition(self) -> None:
        """Each route says which of its conditions fails first."""
        routes = L4Routes(
            [
                route("net", "10.0.0.0/8", "192.168.0.0/16"),
                route("addr", addresses=("192.0.2.9",)),
                route("port", ports=(1, 2, 3, 4, 5, 6)),
                route("all"),
            ]
        )
        self.assertEqual(
            [candidate.why_not for candidate in explain(routes, facts("203.0.113.5"))],
            [
                "client 203.0.113.5 is not in 10.0.0.0/8 or 192.168.0.0/16",
                "local address 192.0.2.1 is not 192.0.2.9",
                "local port 5432 is not 1, 2, 3, 4 or 2 more",
                "",
            ],
        )
