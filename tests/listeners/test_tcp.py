"""The TCP listener: who gets in, where sessions go, how it changes and ends."""

from __future__ import annotations

import errno
import gc
import socket
import weakref
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.error import ConnectionLost

from balancer.cli.free_ports import claim_port
from balancer.errors import BalancerError
from balancer.listeners.accept import Gate
from balancer.listeners.shedding import Shedding
from balancer.listeners.tcp import TCPListener, TCPSettings
from balancer.model.address import Address
from balancer.net.connecting import connect
from balancer.net.listening import describe, listen
from balancer.routing.l4 import L4Route
from tests.listeners.layer4 import Layer4TestCase, pool, until
from tests.net.peers import Recorder, Recorders


class TCPListenerTests(Layer4TestCase):
    """With servers that record."""

    def setUp(self) -> None:
        super().setUp()
        self.servers = Recorders()
        port = listen(reactor, "127.0.0.1:0", self.servers)
        self.addCleanup(port.stopListening)
        self.there = describe(port)

    @inlineCallbacks
    def dial(self, listener: TCPListener) -> Any:
        client = yield connect(reactor, Address.parse(listener.addresses[0]), Recorder(), 5)
        self.addCleanup(client.transport.abortConnection)
        return client

    @inlineCallbacks
    def test_a_session(self) -> Any:
        """Bytes pass both ways, FINs too, and one record tells the story."""
        listener = self.tcp(pool(self.there))
        client = yield self.dial(listener)
        client.transport.write(b"question")
        client.transport.loseWriteConnection()
        server = yield self.servers.next()
        yield server.finished
        self.assertEqual(server.data, b"question")
        self.assertEqual((len(listener.sessions), self.gate.active), (1, 1))
        server.transport.write(b"the answer")
        server.transport.loseConnection()
        yield client.finished
        self.assertEqual(client.data, b"the answer")
        yield self.recorded()
        (record,) = self.records
        self.assertEqual(
            (record.listener, record.route, record.pool, record.server, record.reason),
            ("l4", "all", "pool", self.there, ""),
        )
        self.assertEqual((record.client, record.bytes_in, record.bytes_out, record.attempts), ("127.0.0.1", 8, 10, 1))
        self.assertEqual((len(listener.sessions), self.gate.active), (0, 0))
        self.assertGreaterEqual(record.total, record.connect)

    @inlineCallbacks
    def test_an_ended_session_is_freed(self) -> Any:
        """At once, without the garbage collector, which seldom looks at what has lived for long."""
        listener = self.tcp(pool(self.there))
        client = yield self.dial(listener)
        server = yield self.servers.next()
        yield until(lambda: all(each.server.transport for each in listener.sessions))
        ended = [
            weakref.ref(side.transport)  # which sides hold
            for session in listener.sessions
            for side in (session.client, session.server)
        ]
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        client.transport.loseConnection()
        server.transport.loseConnection()
        yield self.recorded()
        self.records.clear()
        yield until(lambda: [each() for each in ended] == [None] * 2)

    @inlineCallbacks
    def test_overload(self) -> Any:
        """A client that is turned away is closed at once, and there is a record of it."""
        listener = self.tcp(pool(self.there))
        shedding = Shedding(0.1, lambda: 0.0)
        shedding.measured(1.0)
        shedding.measured(1.0)
        listener.swap(TCPSettings(listener._settings.routes, listener._settings.pools, shedding=shedding))
        client = yield self.dial(listener)
        yield client.finished
        client.transport.loseConnection()
        (record,) = self.records
        self.assertEqual(
            (record.listener, record.reason, record.client), ("l4", "proxy_internal_response", "127.0.0.1")
        )
        self.assertEqual((self.gate.active, dict(shedding.turned_away)), (0, {"l4": 1}))

    @inlineCallbacks
    def test_limits(self) -> Any:
        """A client over a limit is closed at once and counted, and leaves no record."""
        self.gate = Gate(per_client=1)
        listener = self.tcp(pool(self.there))
        first = yield self.dial(listener)
        yield self.servers.next()
        second = yield self.dial(listener)
        yield second.finished
        self.assertEqual((self.gate.refused_client, self.records, len(self.servers.all)), (1, [], 1))
        first.transport.abortConnection()
        yield self.recorded()
        third = yield self.dial(listener)
        yield self.servers.next()
        self.assertFalse(third.finished.called)

    @inlineCallbacks
    def test_no_route(self) -> Any:
        """A client whom no route takes is closed, and recorded."""
        client = yield self.dial(self.tcp(None))
        yield client.finished
        client.transport.loseConnection()
        yield self.recorded()
        self.assertEqual(self.records[0].reason, "destination_not_found")
        self.assertEqual(self.gate.active, 0)

    @inlineCallbacks
    def test_settings_change_without_closing(self) -> Any:
        """New settings hold for new sessions; the socket and the sessions that are there stay."""
        old, new = pool(self.there, name="old"), pool(self.there, name="new")
        listener = self.tcp(old)
        where = listener.addresses
        first = yield self.dial(listener)
        yield self.servers.next()
        listener.swap(self.tcp_settings(new))
        second = yield self.dial(listener)
        server = yield self.servers.next()
        self.assertEqual((listener.addresses, old.servers[0].active, new.servers[0].active), (where, 1, 1))
        server.transport.loseConnection()
        yield second.finished
        second.transport.loseConnection()
        yield self.recorded(1)
        first.transport.write(b"still here")
        yield self.servers.all[0].until(10)
        first.transport.abortConnection()
        yield self.recorded(2)
        self.assertEqual([record.pool for record in self.records], ["new", "old"])

    @inlineCallbacks
    def test_drain_waits_for_sessions(self) -> Any:
        """Draining closes the sockets at once and is done when the last session is."""
        listener = self.tcp(pool(self.there))
        where = Address.parse(listener.addresses[0])
        client = yield self.dial(listener)
        server = yield self.servers.next()
        done: list[None] = []
        drained = listener.drain(30).addCallback(done.append)
        self.assertEqual(listener.addresses, ())

        def refused() -> bool:
            with socket.socket() as skt:
                return skt.connect_ex((where.host, where.port)) == errno.ECONNREFUSED

        yield until(refused)
        self.assertEqual(done, [])
        server.transport.loseConnection()
        yield client.finished
        client.transport.loseConnection()
        yield drained
        self.assertEqual([record.reason for record in self.records], [""])
        self.assertEqual(len(self.wheel), 0)

    @inlineCallbacks
    def test_drain_has_a_limit(self) -> Any:
        """Sessions that outlast the time are reset, both ends, and recorded as such."""
        listener = self.tcp(pool(self.there))
        client = yield self.dial(listener)
        server = yield self.servers.next()
        yield listener.drain(0.05)
        self.assertEqual([record.reason for record in self.records], ["shutdown"])
        for end in (client, server):
            reason = yield end.closed
            self.assertIsInstance(reason, ConnectionLost)

    @inlineCallbacks
    def test_idle(self) -> Any:
        """A session in which nothing moves is closed after its time."""
        listener = self.tcp(pool(self.there), idle=0.1)
        client = yield self.dial(listener)
        server = yield self.servers.next()
        yield client.finished
        yield server.finished
        client.transport.loseConnection()
        server.transport.loseConnection()
        yield self.recorded()
        self.assertEqual(self.records[0].reason, "session_idle_timeout")
        self.assertLess(self.records[0].total, 5)

    @inlineCallbacks
    def test_routes_by_local_port(self) -> Any:
        """One listener on two addresses sends each to its own pool."""
        number = claim_port()
        target = pool(self.there)
        listener = self.tcp(
            target,
            "127.0.0.1:0",
            f"127.0.0.1:{number}",
            routes=(L4Route("rest", "pool"), L4Route("special", "pool", local_ports=(number,))),
        )
        for address in listener.addresses:
            client = yield connect(reactor, Address.parse(address), Recorder(), 5)
            yield self.servers.next()
            client.transport.abortConnection()
        yield self.recorded(2)
        self.assertEqual([record.route for record in self.records], ["rest", "special"])

    def test_all_addresses_or_none(self) -> None:
        """If one address cannot be had none is kept, and the error names it."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            bind = f"127.0.0.1:{taken.getsockname()[1]}"
            with self.assertRaisesRegex(BalancerError, f"cannot listen on {bind}: the address is in use"):
                self.tcp(pool(self.there), "127.0.0.1:0", bind)
        self.assertEqual(
            [reader for reader in reactor.getReaders() if "TCPListener" in repr(getattr(reader, "factory", ""))], []
        )

    def test_repr(self) -> None:
        """An operator sees name, addresses and the number of sessions."""
        listener = self.tcp(pool(self.there))
        self.assertEqual(repr(listener), f"<TCPListener l4 on {listener.addresses[0]}, 0 sessions>")
