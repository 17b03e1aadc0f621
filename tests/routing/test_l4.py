"""Layer-4 routes: by client network and local end, most specific first."""

from __future__ import annotations

import ipaddress
import random

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.address import Peer
from balancer.model.facts import SessionFacts
from balancer.model.patterns import HostPattern
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


def named(name: str, *sni: str, alpn: tuple[str, ...] = (), clients: tuple[str, ...] = ()) -> L4Route:
    """Return a route by server name and protocols."""
    networks = tuple(map(ipaddress.ip_network, clients))
    return L4Route(name, f"pool-{name}", networks, sni=tuple(map(HostPattern.parse, sni)), alpn=alpn)


def tls(sni: str, *alpn: str, client: str = "203.0.113.5") -> SessionFacts:
    """Return the facts of a session whose hello was read."""
    return SessionFacts(Peer(client, 40000), Peer("192.0.2.1", 443), sni, alpn)


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


class HelloTests(SynchronousTestCase):
    """Which route takes a session by what its hello asks for."""

    routes = [
        named("all"),
        named("inside", clients=("10.0.0.0/8",)),
        named("h2", alpn=("h2", "h3")),
        named("wide", "*.example.org"),
        named("deep", "*.b.example.org"),
        named("deep h2", "*.b.example.org", alpn=("h2",)),
        named("exact", "a.b.example.org", "shop.example"),
        named("exact inside", "a.b.example.org", clients=("10.0.0.0/8",)),
    ]

    def decide(self, session: SessionFacts) -> str:
        return decide(L4Routes(self.routes), session).route

    def test_precedence(self) -> None:
        """An exact name, then the longest wildcard, then protocols, then the client's network."""
        for session, expected in (
            (tls("a.b.example.org", "h2"), "exact"),
            (tls("a.b.example.org", "h2", client="10.1.1.1"), "exact inside"),
            (tls("shop.example"), "exact"),
            (tls("c.b.example.org"), "deep"),
            (tls("c.b.example.org", "http/1.1", "h2"), "deep h2"),
            (tls("x.c.b.example.org", "http/1.1"), "deep"),
            (tls("b.example.org", "h2"), "wide"),
            (tls("other.example.org", client="10.1.1.1"), "wide"),
            (tls("example.org", "h2"), "h2"),
            (tls("example.org", "h2", client="10.1.1.1"), "h2"),
            (tls("example.org", "http/1.1", client="10.1.1.1"), "inside"),
            (tls("notexample.org"), "all"),
            (tls("", "h3"), "h2"),
            (tls(""), "all"),
            (facts("203.0.113.5"), "all"),
            (facts("10.1.1.1"), "inside"),
        ):
            self.assertEqual(self.decide(session), expected, (session.sni, session.alpn, session.peer))

    def test_a_name_that_fails_gives_way(self) -> None:
        """Where the other conditions of an exact name do not hold, a wildcard takes the session, and at last nobody."""
        routes = L4Routes(
            [named("exact", "a.example.org", clients=("10.0.0.0/8",)), named("wide", "*.example.org", alpn=("h2",))]
        )
        self.assertEqual(decide(routes, tls("a.example.org", "h2")).route, "wide")
        self.assertEqual(decide(routes, tls("a.example.org")).action, "none")
        self.assertEqual(decide(routes, facts("10.0.0.1")).action, "none")

    def test_peeks(self) -> None:
        """Only routes that ask for name or protocols make anybody look at the hello."""
        self.assertTrue(L4Routes([named("all"), named("h2", alpn=("h2",))]).peeks)
        self.assertTrue(L4Routes([named("a", "a.example")]).peeks)
        self.assertFalse(L4Routes([named("all"), named("net", clients=("10.0.0.0/8",))]).peeks)

    def test_lacks_protocol(self) -> None:
        """Whether it is the protocols alone that keep a session from every route."""
        routes = L4Routes([named("h2", "a.example", alpn=("h2",)), named("b", "b.example", clients=("10.0.0.0/8",))])
        for session, expected in (
            (tls("a.example", "http/1.1"), True),
            (tls("a.example"), True),
            (tls("b.example"), False),
            (tls("c.example", "h2"), False),
            (facts("203.0.113.5"), False),
        ):
            self.assertIs(routes.lacks_protocol(session), expected)
        self.assertFalse(L4Routes([named("b", "b.example")]).lacks_protocol(tls("a.example")))

    def test_thousands_agree_with_a_scan(self) -> None:
        """The index finds what looking at every route would find, whatever conditions are combined."""
        draw = random.Random(11)
        labels = ("a", "b", "c", "shop")

        def name() -> str:
            return ".".join(draw.choice(labels) for _ in range(draw.randrange(1, 5)))

        def some_route(number: int) -> L4Route:
            sni = [draw.choice(("", "*.")) + name() for _ in range(draw.randrange(0, 3))]
            alpn = tuple(draw.sample(("h2", "h3", "http/1.1"), draw.randrange(0, 3)))
            clients = [f"10.{draw.randrange(4)}.0.0/16"] if draw.random() < 0.3 else []
            return named(f"r{number}", *sni, alpn=alpn, clients=tuple(clients))

        for _ in range(30):
            routes = [some_route(number) for number in range(draw.choice((3, 30, 300)))]
            table = L4Routes(routes)
            for _ in range(60):
                alpn = draw.sample(("h2", "h3", "http/1.1", "x"), draw.randrange(0, 4))
                session = tls(draw.choice((name(), name(), "")), *alpn, client=f"10.{draw.randrange(5)}.0.1")
                if draw.random() < 0.1:
                    session.sni, session.alpn = None, ()
                taking = [
                    (self.specificity(route, session.sni or ""), not route.alpn, not route.clients, place, route.name)
                    for place, route in enumerate(routes)
                    if not route.first_failing(session)
                ]
                self.assertEqual(decide(table, session).route, min(taking)[-1] if taking else "")

    @staticmethod
    def specificity(route: L4Route, sni: str) -> tuple[bool, int]:
        """Return how far a route's best name is from the most specific there is; the lowest wins."""
        best = [
            (pattern.wildcard, -len(pattern.name))
            for pattern in route.sni
            if (sni.endswith(f".{pattern.name}") if pattern.wildcard else sni == pattern.name)
        ]
        return min(best, default=(True, 0))


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

    def test_what_the_hello_lacks(self) -> None:
        """Name and protocols come first, as they decide first."""
        routes = L4Routes(
            [
                named("a", "a.example", "*.example.org", alpn=("h2",), clients=("10.0.0.0/8",)),
                named("h2", alpn=("h2", "h3")),
            ]
        )
        for session, expected in (
            (facts("203.0.113.5"), ["the client does not speak TLS"] * 2),
            (
                tls("", "http/1.1"),
                [
                    "no server name was asked for: not a.example or *.example.org",
                    "the client offers http/1.1, not h2 or h3",
                ],
            ),
            (
                tls("b.example"),
                [
                    "server name b.example is not a.example or *.example.org",
                    "the client offers no protocol (ALPN), not h2 or h3",
                ],
            ),
            (
                tls("a.example", "x", "y"),
                ["the client offers x and y, not h2", "the client offers x and y, not h2 or h3"],
            ),
            (tls("x.example.org", "h2"), ["client 203.0.113.5 is not in 10.0.0.0/8", ""]),
        ):
            self.assertEqual([candidate.why_not for candidate in explain(routes, session)], expected)
