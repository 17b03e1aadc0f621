"""Tests of one server."""

from __future__ import annotations

from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IServer
from balancer.model.address import Address
from balancer.pools.idle import KeepAlive
from balancer.pools.server import STATES, Server
from balancer.pools.shared import HTTP2Settings
from tests.pools.pieces import Watched, server, session

ONE, TWO, THREE = (Address("192.0.2.1", 80), Address("192.0.2.2", 80), Address("2001:db8::3", 80))


class Idle:
    """A connection that waits."""

    whom = b""

    expires = 1e9
    closed = False

    def close(self) -> None:
        """Close."""
        self.closed = True


class ServerTests(TestCase):
    """State and settings."""

    def test_contract(self) -> None:
        """Algorithms see it as an IServer."""
        verifyObject(IServer, server("a"))

    def test_name(self) -> None:
        """It is called by its address unless it has a name."""
        self.assertEqual(Server(Address("::1", 80)).name, "[::1]:80")
        self.assertEqual(Server(Address("", 0, "/run/app.sock")).name, "unix:/run/app.sock")
        self.assertEqual(Server(Address("::1", 80), "one").name, "one")

    def test_shared_limit(self) -> None:
        """A limit that is kept to with others goes by what all have; without them it is its own again."""

        class Together:
            most = 3
            ours = 0
            others = 0

            def put(self, active: int) -> None:
                self.ours = active

            def has_room(self) -> bool:
                return self.ours + self.others < self.most

        one = Server(ONE, max_connections=3)
        one.active = 1
        share = Together()
        one.share_limit(share)
        self.assertEqual((one.max_connections, one.full, share.ours), (3, False, 1))
        share.others = 2
        self.assertTrue(one.full)
        self.assertIn("active=1 of 3", repr(one))
        one.configure_as(Server(ONE, max_connections=5))
        one.share_limit(None)
        self.assertEqual((one.max_connections, one.full, share.ours), (5, False, 0))

    def test_max_connections(self) -> None:
        """The limit can be read, changed and taken away."""
        one = Server(ONE, max_connections=2)
        one.active = 2
        self.assertTrue(one.full)
        one.max_connections = 3
        self.assertEqual((one.max_connections, one.full), (3, False))
        one.max_connections = None
        one.active = 10**9
        self.assertEqual((one.max_connections, one.full), (None, False))

    def test_states(self) -> None:
        """Disabled, down, ejected, draining, up: the worst is told, and what it would be were it not disabled."""
        one = server("a")
        self.assertEqual(one.state, "up")
        one.drain()
        self.assertEqual(one.state, "draining")
        one.ejected_until = 5.0
        self.assertEqual(one.state, "ejected")
        one.healthy = False
        self.assertEqual(one.state, "down")
        one.healthy = True
        one.resolved(())
        self.assertEqual(one.state, "down")
        one.disable()
        self.assertEqual((one.state, one.condition), ("disabled", "down"))
        self.assertLessEqual({one.state, one.condition}, set(STATES))

    def test_drain(self) -> None:
        """Draining takes it out for new clients, and is told once."""
        watched = Watched("ab")
        one = watched.servers[0]
        one.drain()
        one.drain()
        self.assertEqual(watched.chosen(), {"b"})
        self.assertEqual(watched.kinds(), ["server_drained"])
        one.undrain()
        one.undrain()
        self.assertEqual(watched.chosen(), {"a", "b"})
        self.assertEqual(watched.kinds(), ["server_undrained"])

    def test_disable(self) -> None:
        """A disabled server gets nothing, not even in panic, keeps no connection, and is told once; enabled it is as before."""
        watched = Watched("ab")
        one, kept, late = watched.servers[0], Idle(), Idle()
        one.idle.put(kept, 0.0)
        one.disable()
        one.disable()
        self.assertEqual((watched.chosen(), watched.kinds(), kept.closed), ({"b"}, ["server_disabled"], True))
        self.assertFalse(one.idle.put(late, 0.0))  # of an exchange that was in flight
        one.drop_idle()
        one.configure_as(server("a", protocol="h2"))
        self.assertFalse(one.idle.put(late, 0.0))
        watched.servers[1].healthy = False
        watched.pool.refresh()
        self.assertEqual((watched.chosen(), watched.pool.in_panic), ({"b"}, True))
        watched.servers[1].disable()
        self.assertEqual((watched.chosen(), watched.pool.in_panic), (set(), False))
        self.assertEqual(watched.pool.refusal(session()).detail, "pool web: 2 disabled")
        watched.kinds()
        one.enable()
        one.enable()
        self.assertEqual((watched.chosen(), watched.kinds()), ({"a"}, ["server_enabled"]))
        self.assertTrue(one.idle.put(late, 0.0))

    def test_disabled_shared(self) -> None:
        """Connections of HTTP/2 that are just being made are not kept either."""
        one = server("a", protocol="h2")
        one.disable()
        self.assertTrue(one.shared is not None and one.shared.closed)
        one.enable()
        self.assertFalse(one.shared is None or one.shared.closed)

    def test_disabled_and_drained(self) -> None:
        """One does not end the other."""
        one = server("a")
        one.drain()
        one.disable()
        one.enable()
        self.assertEqual(one.state, "draining")
        one.disable()
        one.undrain()
        self.assertEqual(one.state, "disabled")

    def test_configure_as(self) -> None:
        """After a reload it has the settings of the new configuration, and its own counters."""
        one, new = server("a"), server("a", 7, backup=True, max_connections=3, keep_alive=KeepAlive(size=2))
        one.active = 2
        one.configure_as(new)
        self.assertEqual((one.weight, one.backup, one.max_connections, one.idle.settings.size), (7, True, 3, 2))
        self.assertEqual(one.active, 2)

    def test_another_protocol(self) -> None:
        """Connections of the protocol that it spoke are not used any more; the settings of HTTP/2 follow the configuration."""
        one, kept = server("a"), Idle()
        one.idle.put(kept, 0.0)
        one.configure_as(server("a", protocol="h2"))
        self.assertEqual((kept.closed, one.protocol, one.idle.closed), (True, "h2", False))
        shared = one.shared
        one.configure_as(server("a", protocol="h2", http2=HTTP2Settings(streams=5)))
        self.assertIs(one.shared, shared)
        assert shared is not None
        self.assertEqual(shared.settings.streams, 5)
        one.configure_as(server("a"))
        self.assertEqual((one.shared, shared.closed), (None, True))

    def test_drop_idle(self) -> None:
        """Idle connections can be dropped, those that come free later are kept."""
        one, first, second = server("a"), Idle(), Idle()
        one.idle.put(first, 0.0)
        one.drop_idle()
        self.assertTrue(first.closed)
        self.assertTrue(one.idle.put(second, 0.0))

    def test_repr(self) -> None:
        """An operator sees state, weight and load."""
        one = Server(ONE, "one", weight=3, max_connections=10, backup=True)
        one.active = 2
        self.assertEqual(repr(one), "<Server one at 192.0.2.1:80 up weight=3 backup active=2 of 10>")
        two = Server(TWO)
        two.healthy, two.reason = False, "503 Service Unavailable"
        self.assertEqual(repr(two), "<Server 192.0.2.2:80 down (503 Service Unavailable) weight=1 active=0>")


class EndpointTests(TestCase):
    """A name with several addresses."""

    def setUp(self) -> None:
        self.server = Server(Address("app.example", 80))

    def test_before_it_is_resolved(self) -> None:
        """The name itself is where to connect."""
        self.assertEqual(self.server.next_endpoint(), Address("app.example", 80))
        self.assertTrue(self.server.up)

    def test_in_turn(self) -> None:
        """Its addresses take turns, beginning with the first."""
        self.server.resolved((ONE, TWO, THREE))
        self.assertEqual([self.server.next_endpoint() for _ in range(4)], [ONE, TWO, THREE, ONE])

    def test_failed_ones_rest(self) -> None:
        """An address that could not be connected to is left out until the name is resolved again."""
        self.server.resolved((ONE, TWO))
        self.server.endpoint_failed(ONE)
        self.assertEqual([self.server.next_endpoint() for _ in range(3)], [TWO, TWO, TWO])
        self.server.resolved((ONE, TWO))
        self.assertEqual(self.server.next_endpoint(), ONE)

    def test_all_failed(self) -> None:
        """If none can be connected to, all are tried again."""
        self.server.resolved((ONE, TWO))
        self.server.endpoint_failed(ONE)
        self.server.endpoint_failed(TWO)
        self.assertEqual({self.server.next_endpoint() for _ in range(4)}, {ONE, TWO})

    def test_single(self) -> None:
        """The only address never rests."""
        one = Server(ONE)
        one.endpoint_failed(ONE)
        self.assertEqual(one.next_endpoint(), ONE)
