"""Tests of keeping clients on their servers."""

from __future__ import annotations

import base64
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from balancer.model.keys import Key
from balancer.pools.sticky import StickyCookie, StickyTable
from tests.pools.pieces import Watched, request, server, servers, session

SECRET = b"a secret of the operator"


class CookieTests(TestCase):
    """The cookie itself."""

    def setUp(self) -> None:
        self.sticky = StickyCookie(SECRET, "web")
        self.servers = servers("abc")
        self.sticky.bind(self.servers)

    def cookie(self, sticky: StickyCookie, one: Any) -> str:
        """The ``name=value`` that a browser would send back."""
        [(name, value)] = sticky.response_headers(request(), one)
        self.assertEqual(name, b"Set-Cookie")
        return str(value.decode().partition(";")[0])

    def test_round_trip(self) -> None:
        """What is set leads back to the server, and is not set again."""
        for one in self.servers:
            again = request(cookie="other=1; " + self.cookie(self.sticky, one))
            self.assertIs(self.sticky.server_for(again), one)
            self.assertEqual(self.sticky.response_headers(again, one), ())

    def test_set_again_when_the_server_changes(self) -> None:
        """A client that had to move gets the cookie of its new server."""
        one, two, _ = self.servers
        again = request(cookie=self.cookie(self.sticky, one))
        self.assertEqual(len(self.sticky.response_headers(again, two)), 1)

    def test_reveals_nothing(self) -> None:
        """Neither name nor address of the server can be read from it, in any usual encoding."""
        one = server("db-master-7")
        self.sticky.bind([one])
        value = self.cookie(self.sticky, one).partition("=")[2]
        raw = base64.urlsafe_b64decode(value + "==")
        for secret in (b"db-master", b"127.0.0.1", str(one.address.port).encode(), b"\x7f\x00\x00\x01"):
            self.assertNotIn(secret, raw)
            self.assertNotIn(secret, value.encode())

    def test_forgery(self) -> None:
        """Without the secret no token can be made; for another pool it is worth nothing."""
        for other in (StickyCookie(b"guessed", "web"), StickyCookie(SECRET, "shop")):
            other.bind(self.servers)
            self.assertIsNone(self.sticky.server_for(request(cookie=self.cookie(other, self.servers[0]))))

    def test_golden(self) -> None:
        """Tokens are the same on every node and version that knows the secret."""
        self.assertEqual(self.sticky.token("a"), "lt6SrCLeo1_JHSNoJdNTMw")

    def test_attributes(self) -> None:
        """Path, HttpOnly and SameSite by default; the rest as configured."""
        self.assertTrue(
            self.sticky.response_headers(request(), self.servers[0])[0][1].endswith(b"; Path=/; HttpOnly; SameSite=Lax")
        )
        other = StickyCookie(SECRET, "web", "who", ttl=3600.0, path="/shop", secure=True, same_site="none")
        other.bind(self.servers)
        value = other.response_headers(request(), self.servers[0])[0][1]
        self.assertTrue(value.startswith(b"who="))
        self.assertTrue(value.endswith(b"; Path=/shop; HttpOnly; Max-Age=3600; Secure; SameSite=None"))
        bare = StickyCookie(SECRET, "web", same_site=None)
        bare.bind(self.servers)
        self.assertTrue(bare.response_headers(request(), self.servers[0])[0][1].endswith(b"; Path=/; HttpOnly"))

    def test_sessions(self) -> None:
        """Layer 4 has no cookies."""
        self.assertIsNone(self.sticky.server_for(session()))
        self.assertEqual(self.sticky.response_headers(session(), self.servers[0]), ())

    @given(st.text(max_size=60))
    def test_anything_else(self, value: str) -> None:
        """Whatever a client puts there, nothing goes wrong, and it is as good as no cookie."""
        facts = request(cookie="lb=x")
        facts.cookies["lb"] = value
        self.assertIsNone(self.sticky.server_for(facts))


class TableTests(TestCase):
    """The table of those who came before."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.servers = servers("abc")

    def table(self, key: Key | None = None, **settings: Any) -> StickyTable:
        """A table on the test's clock."""
        table = StickyTable(key or Key("client_ip"), self.clock.seconds, **settings)
        table.bind(self.servers)
        return table

    def test_remembers(self) -> None:
        """A client address leads to the server last chosen for it, at layer 4 and 7."""
        table = self.table()
        table.remember(session("10.0.0.1"), self.servers[1])
        self.assertIs(table.server_for(session("10.0.0.1")), self.servers[1])
        self.assertIs(table.server_for(request("10.0.0.1")), self.servers[1])
        self.assertIsNone(table.server_for(session("10.0.0.2")))

    def test_header(self) -> None:
        """A header's value may be the key; requests without it do not stick."""
        table = self.table(Key("header", "x-user"))
        table.remember(request(x_user="ann"), self.servers[2])
        table.remember(request(), self.servers[0])
        self.assertIs(table.server_for(request(X_User="ann")), self.servers[2])
        self.assertIsNone(table.server_for(request(x_user="bob")))
        self.assertIsNone(table.server_for(request()))
        self.assertIsNone(table.server_for(session()))

    def test_ttl(self) -> None:
        """An entry lives for its time after its last use."""
        table = self.table(ttl=60.0)
        table.remember(session(), self.servers[0])
        for _ in range(5):
            self.clock.advance(59)
            self.assertIs(table.server_for(session()), self.servers[0])
        self.clock.advance(60)
        self.assertIsNone(table.server_for(session()))
        self.assertEqual(len(table), 0)

    def test_looked_at(self) -> None:
        """An entry that is only looked at is no younger for that."""
        table = self.table(ttl=60.0)
        table.remember(request("192.0.2.1"), self.servers[0])
        self.clock.advance(40.0)
        self.assertIs(table.server_for(request("192.0.2.1"), used=False), self.servers[0])
        self.clock.advance(40.0)
        self.assertIsNone(table.server_for(request("192.0.2.1")))

    def test_bounded(self) -> None:
        """The table never grows past its size; those unused for longest go first."""
        table = self.table(size=3)
        for number in range(3):
            table.remember(session(f"10.0.0.{number}"), self.servers[number])
        table.server_for(session("10.0.0.0"))
        table.remember(session("10.0.0.9"), self.servers[0])
        self.assertEqual(len(table), 3)
        self.assertIsNotNone(table.server_for(session("10.0.0.0")))
        self.assertIsNone(table.server_for(session("10.0.0.1")))

    def test_expired_go(self) -> None:
        """Newcomers clear away what has expired."""
        table = self.table(ttl=10.0)
        for number in range(100):
            table.remember(session(f"10.0.0.{number}"), self.servers[0])
        self.clock.advance(11)
        for number in range(100):
            table.remember(session(f"10.0.1.{number}"), self.servers[0])
        self.assertEqual(len(table), 100)

    def test_long_keys(self) -> None:
        """A long header costs no more memory than a short one, and is told from similar ones."""
        table = self.table(Key("header", "x"))
        table.remember(request(x="y" * 10_000), self.servers[0])
        self.assertIs(table.server_for(request(x="y" * 10_000)), self.servers[0])
        self.assertIsNone(table.server_for(request(x="y" * 9_999)))
        self.assertLess(max(map(len, table._entries)), 33)

    def test_server_gone(self) -> None:
        """A server that is no longer in the pool is nobody's."""
        table = self.table()
        table.remember(session(), self.servers[0])
        table.bind(self.servers[1:])
        self.assertIsNone(table.server_for(session()))

    def test_adopt(self) -> None:
        """At a reload entries are kept, if the key is the same, as many as there is room for."""
        old = self.table()
        for number in range(5):
            old.remember(session(f"10.0.0.{number}"), self.servers[0])
        new = self.table(size=2)
        new.adopt(old)
        self.assertEqual(len(new), 2)
        self.assertIs(new.server_for(session("10.0.0.4")), self.servers[0])
        other = self.table(Key("header", "x"))
        other.adopt(old)
        self.assertEqual(repr(other), "<StickyTable by header:x 0 of 100000>")

    def test_no_headers(self) -> None:
        """Nothing is told to the client."""
        self.assertEqual(self.table().response_headers(request(), self.servers[0]), ())


class PoolTests(TestCase):
    """Sticky clients in a pool."""

    def setUp(self) -> None:
        clock = Clock()
        sticky = StickyTable(Key("client_ip"), clock.seconds)
        self.watched = Watched("abcd", clock=clock, sticky=sticky, panic=False)
        self.pool = self.watched.pool
        chosen = self.pool.choose(session())
        assert chosen is not None
        self.mine = chosen

    def test_stays(self) -> None:
        """The same client gets the same server, others get others."""
        self.assertEqual(self.watched.chosen(), {self.mine.name})
        found = {self.pool.choose(session(f"10.1.0.{number}")) for number in range(50)}
        self.assertEqual(len(found), 4)

    def test_down(self) -> None:
        """From a server that is down, a client moves to another, and stays there."""
        self.mine.healthy = False
        self.pool.refresh()
        [other] = self.watched.chosen()
        self.assertNotEqual(other, self.mine.name)
        self.mine.healthy = True
        self.pool.refresh()
        self.assertEqual(self.watched.chosen(), {other})

    def test_tried(self) -> None:
        """A retry goes elsewhere."""
        self.assertIsNot(self.pool.choose(session(), [self.mine]), self.mine)

    def test_full(self) -> None:
        """From a full server a client moves on."""
        self.mine.max_connections = 0
        self.assertIsNot(self.pool.choose(session()), self.mine)

    def test_draining(self) -> None:
        """Those who stick to a draining server, or one of weight 0, stay; newcomers go elsewhere."""
        self.mine.drain()
        self.assertEqual(self.watched.chosen(), {self.mine.name})
        self.assertNotIn(self.mine, {self.pool.choose(session(f"10.1.0.{number}")) for number in range(50)})
        self.mine.undrain()
        self.pool.set_weight(self.mine, 0)
        self.assertEqual(self.watched.chosen(), {self.mine.name})

    def test_disabled(self) -> None:
        """Nobody stays on a disabled server, whoever says so."""
        self.mine.disable()
        [other] = self.watched.chosen()
        self.assertNotEqual(other, self.mine.name)
        self.assertIsNot(self.pool.choose(session(), sticky_to=self.mine), self.mine)

    def test_given(self) -> None:
        """The caller may say which server it sticks to."""
        other = next(one for one in self.watched.servers if one is not self.mine)
        self.assertIs(self.pool.choose(session(), sticky_to=other), other)
