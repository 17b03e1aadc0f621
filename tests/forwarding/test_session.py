"""A TCP session without sockets: connecting, retrying, forwarding, ending."""

from __future__ import annotations

import gc
import time
import weakref
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from balancer import errors
from balancer.errors import ExchangeError
from balancer.forwarding.session import HELD, LINGER, Session, to_peer
from balancer.forwarding.side import Side
from balancer.model.address import Address, Peer
from balancer.model.facts import SessionFacts
from balancer.model.origin import Origin
from balancer.net.timers import Wheel
from balancer.observe.records import SessionRecord
from balancer.pools.algorithms.round_robin import RoundRobin
from balancer.pools.introduction import Introduction
from balancer.pools.pool import Pool, PoolTimeouts
from balancer.pools.queue import QueueSettings
from balancer.pools.retry import RetrySettings
from balancer.pools.server import Server
from balancer.wire.proxy_protocol import Reader


class Transport(StringTransport):
    """A transport in memory that notes half-closes, and as a real one does not mind unregistering nobody."""

    finished = False

    def loseWriteConnection(self) -> None:
        self.finished = True

    def unregisterProducer(self) -> None:
        self.producer = None

    @property
    def aborted(self) -> bool:
        return bool(self.disconnected)


class SessionTestCase(SynchronousTestCase):
    """A client that has connected, and a pool."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.wheel = Wheel(self.clock)
        self.attempts: list[tuple[Address, Side, float, Deferred[Side]]] = []
        self.first: list[bytes] = []
        self.records: list[SessionRecord] = []
        self.routed: list[SessionFacts] = []
        self.pool = self.make_pool(2)

    def make_pool(self, count: int, attempts: int = 1, queue: int = 100, **server: Any) -> Pool:
        servers = [Server(Address("10.0.0.9", 5000 + number), f"s{number}", **server) for number in range(count)]
        return Pool(
            "db",
            servers,
            RoundRobin(),
            clock=self.clock,
            timeouts=PoolTimeouts(connect=3.0),
            retry=RetrySettings(attempts=attempts),
            queue=QueueSettings(size=queue, timeout=5.0),
        )

    def connect(self, address: Address, side: Side, timeout: float, first: bytes = b"") -> Deferred[Side]:
        connecting: Deferred[Side] = Deferred()
        self.attempts.append((address, side, timeout, connecting))
        self.first.append(first)
        return connecting

    def route(self, facts: SessionFacts) -> tuple[str, Pool] | None:
        self.routed.append(facts)
        return None if self.pool is None else ("main", self.pool)

    def session(self, origin: Origin | None = None) -> Session:
        session = Session(
            self.clock,
            self.wheel,
            self.connect,
            self.route,
            Peer("192.0.2.7", 40000),
            SessionRecord("tcp"),
            60.0,
            lambda ended: self.records.append(ended.record),
            origin=origin,
        )
        session.client.makeConnection(Transport(IPv4Address("TCP", "10.0.0.1", 5432)))
        return session

    def answer(self, session: Session, after: float = 0.0) -> Transport:
        """Let the pending attempt succeed; return the server's transport."""
        self.clock.advance(after)
        transport = Transport()
        session.server.makeConnection(transport)
        self.attempts[-1][3].callback(session.server)
        return transport

    def refuse(self, reason: errors.Reason = errors.CONNECTION_REFUSED) -> None:
        self.attempts[-1][3].errback(ExchangeError(reason, "10.0.0.9"))

    def open(self) -> tuple[Session, Transport, Transport]:
        """Return an open session and the transports of its client and server."""
        session = self.session()
        server = self.answer(session)
        return session, session.client.transport, server

    def lose(self, side: Side, reason: type[Exception] = ConnectionDone) -> None:
        side.connectionLost(Failure(reason()))

    @property
    def record(self) -> SessionRecord:
        (record,) = self.records
        return record


class ConnectingTests(SessionTestCase):
    """Until there is a server."""

    def test_time_of_day(self) -> None:
        """The record tells the time of day, whatever the reactor's clock counts from; how long it took is the clock's."""
        self.clock.advance(1000)
        before = time.time()
        session, _, _ = self.open()
        self.clock.advance(2)
        self.lose(session.client)
        self.lose(session.server)
        (record,) = self.records
        self.assertTrue(before <= record.started <= time.time())
        self.assertEqual(record.total, 2.0)

    def test_takes_the_chosen_server(self) -> None:
        """The server that the pool chose is connected to, within the pool's time, and counted."""
        session = self.session()
        address, side, timeout, _ = self.attempts[0]
        self.assertEqual((str(address), timeout), ("10.0.0.9:5000", 3.0))
        self.assertIs(side, session.server)
        self.assertEqual(self.pool.servers[0].active, 1)
        self.assertEqual((self.routed[0].client_ip, self.routed[0].local.port), ("192.0.2.7", 5432))

    def test_introduced(self) -> None:
        """Where the pool wants it the server is told who the client is, whom the layers below know; each of several the same."""
        self.session()
        self.assertEqual(self.first, [b""])
        self.pool.introduction = Introduction(2, frozenset(["unique_id", "ssl"]), checksum=True)
        local = Peer("203.0.113.7", 443)
        session = self.session(Origin(Peer("192.0.2.7", 40000), local, by_proxy=True))
        self.refuse()
        self.assertEqual((self.routed[-1].local, self.first[1]), (local, self.first[2]))
        header = Reader().feed(self.first[1])
        assert header is not None
        self.assertEqual((header.source, header.destination), (session.peer, local))
        self.assertEqual(header.unique_id.decode(), session.record.session_id)
        self.pool.introduction = Introduction(1)
        session = self.session()
        self.assertEqual((self.first[3][:31], session.record.session_id), (b"PROXY TCP4 192.0.2.7 10.0.0.1 4", ""))

    def test_first_words_wait_and_reading_stops(self) -> None:
        """What the client says first is kept up to a limit, and all is sent when the server is there."""
        session = self.session()
        session.client.dataReceived(b"hello")
        self.assertEqual(session.client.transport.producerState, "producing")
        session.client.dataReceived(b"x" * HELD)
        self.assertEqual(session.client.transport.producerState, "paused")
        server = self.answer(session)
        self.assertEqual(server.value(), b"hello" + b"x" * HELD)
        self.assertEqual(session.client.transport.producerState, "producing")

    def test_fin_while_connecting_is_passed_on(self) -> None:
        """A client that half-closes before the server is there still gets its answer."""
        session = self.session()
        session.client.dataReceived(b"GET")
        session.client.readConnectionLost()
        server = self.answer(session)
        self.assertEqual((server.value(), server.finished), (b"GET", True))
        session.server.dataReceived(b"answer")
        self.assertEqual(session.client.transport.value(), b"answer")

    def test_next_server_is_tried(self) -> None:
        """After a refusal another server is tried, and both attempts are in the record."""
        session = self.session()
        self.refuse()
        self.assertEqual([str(attempt[0]) for attempt in self.attempts], ["10.0.0.9:5000", "10.0.0.9:5001"])
        first, second = self.pool.servers
        self.assertEqual((first.active, first.connect_failures, second.active), (0, 1, 1))
        self.answer(session, 0.25)
        self.lose(session.client, ConnectionLost)
        self.lose(session.server)
        self.assertEqual((self.record.attempts, self.record.server, self.record.connect), (2, "s1", 0.25))

    def test_gives_up_when_no_other_is_left(self) -> None:
        """When attempts or servers run out, the client is closed and the record says what the last server did."""
        session = self.session()
        self.refuse()
        self.refuse(errors.CONNECTION_TIMEOUT)
        self.assertTrue(session.client.transport.disconnecting)
        self.assertEqual(self.records, [])
        self.lose(session.client)
        self.assertEqual((self.record.reason, self.record.detail), ("connection_timeout", "10.0.0.9"))
        self.assertEqual([server.active for server in self.pool.servers], [0, 0])

    def test_our_fault_is_not_the_servers(self) -> None:
        """Without descriptors no server is blamed, and none is tried after."""
        session = self.session()
        self.refuse(errors.PROXY_INTERNAL_ERROR)
        self.assertEqual(len(self.attempts), 1)
        self.lose(session.client)
        self.assertEqual(self.record.reason, "proxy_internal_error")
        self.assertEqual([(s.active, s.failures) for s in self.pool.servers], [(0, 0), (0, 0)])

    def test_client_that_goes_away_frees_the_server(self) -> None:
        """A client reset while connecting ends the attempt; the server is not blamed."""
        session = self.session()
        self.lose(session.client, ConnectionLost)
        self.assertTrue(self.attempts[0][3].called)
        self.assertEqual((self.record.reason, self.record.connect), ("client_reset", -1.0))
        self.assertEqual([(s.active, s.failures) for s in self.pool.servers], [(0, 0), (0, 0)])
        self.assertEqual(len(self.wheel), 0)

    def test_no_route(self) -> None:
        """A session that no route takes is closed, and recorded as such."""
        self.pool = None  # type: ignore[assignment]
        session = self.session()
        self.assertTrue(session.client.transport.disconnecting)
        self.lose(session.client)
        self.assertEqual(self.record.reason, "destination_not_found")

    def test_no_server(self) -> None:
        """A pool with nobody to take it closes the session and says why."""
        for server in self.pool.servers:
            server.drain()
        session = self.session()
        self.lose(session.client)
        self.assertEqual(self.record.reason, "destination_unavailable")
        self.assertEqual(self.record.detail, "pool db: 2 draining")

    def test_waits_for_room(self) -> None:
        """With all servers full a session waits until one has room, and the record says how long."""
        self.pool = self.make_pool(1, max_connections=1)
        first, _, _ = self.open()
        second = self.session()
        self.assertEqual(len(self.attempts), 1)
        self.clock.advance(2)
        self.lose(first.client, ConnectionLost)
        self.lose(first.server)
        self.assertEqual(len(self.attempts), 2)
        self.answer(second)
        self.lose(second.client, ConnectionLost)
        self.lose(second.server)
        self.assertEqual((self.records[1].queue, self.pool.servers[0].active), (2.0, 0))

    def test_waits_no_longer_than_allowed(self) -> None:
        """Past the queue's time the session is closed; with a full queue at once."""
        self.pool = self.make_pool(1, queue=1, max_connections=1)
        self.open()
        waiting, surplus = self.session(), self.session()
        self.assertTrue(surplus.client.transport.disconnecting)
        self.clock.advance(5.1)
        self.assertTrue(waiting.client.transport.disconnecting)
        self.lose(waiting.client)
        self.lose(surplus.client)
        self.assertEqual([record.reason for record in self.records], ["connection_limit_reached"] * 2)

    def test_client_that_leaves_the_queue(self) -> None:
        """A client reset in the queue leaves its place."""
        self.pool = self.make_pool(1, queue=1, max_connections=1)
        self.open()
        waiting = self.session()
        self.lose(waiting.client, ConnectionLost)
        self.assertEqual(self.record.reason, "client_reset")
        self.assertFalse(self.session().client.transport.disconnecting)


class FreedTests(SessionTestCase):
    """When all is over."""

    def test_freed_at_once(self) -> None:
        """A session that is over is freed without the garbage collector's help."""
        session = self.session()
        self.answer(session)
        gone = weakref.ref(session.client.transport)
        for side in (session.client, session.server):
            side.readConnectionLost()
        for side in (session.client, session.server):
            self.lose(side)
        self.attempts.clear()
        gc.disable()
        self.addCleanup(gc.enable)
        del session, side
        self.assertIsNone(gone())


class ForwardingTests(SessionTestCase):
    """While both sides are there."""

    def test_bytes_both_ways(self) -> None:
        """Each side's bytes go to the other, and are counted."""
        session, client, server = self.open()
        session.client.dataReceived(b"question")
        session.server.dataReceived(b"answer!")
        self.assertEqual((server.value(), client.value()), (b"question", b"answer!"))
        session.abort()
        self.lose(session.client, ConnectionLost)
        self.lose(session.server, ConnectionLost)
        self.assertEqual((self.record.bytes_in, self.record.bytes_out), (8, 7))

    def test_back_pressure(self) -> None:
        """Each transport has the other side as its producer, which stops reading when told."""
        session, client, server = self.open()
        self.assertIs(client.producer, session.server)
        self.assertIs(server.producer, session.client)
        server.producer.pauseProducing()
        self.assertEqual((client.producerState, server.producerState), ("paused", "producing"))
        server.producer.resumeProducing()
        self.assertEqual(client.producerState, "producing")

    def test_a_finished_side_is_not_read_again(self) -> None:
        """Resuming a side whose peer has sent FIN does not start reading, which would see the FIN again."""
        session, client, _ = self.open()
        client.producerState = "paused"
        session.client.readConnectionLost()
        session.client.resumeProducing()
        self.assertEqual(client.producerState, "paused")

    def test_interfaces(self) -> None:
        """A side is a protocol that knows half-closes, and a producer."""
        from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IPushProducer

        session, _, _ = self.open()
        for interface in (IProtocol, IHalfCloseableProtocol, IPushProducer):
            verifyObject(interface, session.client)


class EndingTests(SessionTestCase):
    """How a session ends."""

    def test_fin_each_way(self) -> None:
        """One FIN closes one direction; the second closes the session, orderly."""
        session, client, server = self.open()
        session.client.readConnectionLost()
        self.assertEqual((server.finished, server.disconnecting, client.disconnecting), (True, False, False))
        session.server.dataReceived(b"late")
        self.assertEqual(client.value(), b"late")
        self.clock.advance(2)
        session.server.readConnectionLost()
        self.assertEqual((client.disconnecting, server.disconnecting), (True, True))
        self.assertFalse(client.aborted or server.aborted)
        self.lose(session.client)
        self.lose(session.server)
        self.assertEqual((self.record.reason, self.record.total), ("", 2.0))
        self.assertEqual((self.pool.servers[0].active, self.pool.servers[0].failures, len(self.wheel)), (0, 0, 0))

    def test_reset_is_passed_on(self) -> None:
        """A side that is reset resets the other, and the record says who it was."""
        for who, reason in (("client", "client_reset"), ("server", "connection_terminated")):
            self.records.clear()
            session, _client, _server = self.open()
            session.server.dataReceived(b"x")
            side = getattr(session, who)
            other = session.server if who == "client" else session.client
            self.lose(side, ConnectionLost)
            self.assertTrue(other.transport.aborted)
            self.lose(other, ConnectionLost)
            self.assertEqual(self.record.reason, reason)
        self.assertEqual([server.failures for server in self.pool.servers], [0, 0])

    def test_server_that_resets_at_once_counts_as_failed(self) -> None:
        """A server that accepts and resets without a word is not well."""
        session, _, _ = self.open()
        self.lose(session.server, ConnectionLost)
        self.lose(session.client, ConnectionLost)
        self.assertEqual((self.pool.servers[0].failures, self.pool.servers[0].connect_failures), (1, 0))

    def test_close_without_half_close(self) -> None:
        """A transport that knows no half-close ends orderly: the other side is closed, not reset."""
        session, client, _ = self.open()
        self.lose(session.server)
        self.assertTrue(client.disconnecting)
        self.assertFalse(client.aborted)
        self.lose(session.client)
        self.assertEqual(self.record.reason, "")

    def test_idle(self) -> None:
        """When nothing moves for the idle time the session is closed; bytes in either direction start it anew."""
        session, client, server = self.open()
        for _ in range(5):
            self.clock.advance(50)
            session.server.dataReceived(b".")
        self.clock.advance(50)
        session.client.dataReceived(b".")
        self.clock.advance(59)
        self.assertFalse(client.disconnecting)
        self.clock.advance(2)
        self.assertTrue(client.disconnecting and server.disconnecting)
        self.assertFalse(client.aborted)
        self.lose(session.client)
        self.lose(session.server)
        self.assertEqual((self.record.reason, self.record.detail), ("session_idle_timeout", "nothing moved for 60 s"))

    def test_idle_and_stuck(self) -> None:
        """A connection that does not take its last bytes after an idle close is reset."""
        _session, client, server = self.open()
        self.clock.advance(61)
        self.clock.advance(LINGER - 1)
        self.assertFalse(client.aborted)
        self.clock.advance(2)
        self.assertTrue(client.aborted and server.aborted)

    def test_stuck_after_both_fins(self) -> None:
        """A side that does not take its last bytes after both FINs is reset after the idle time."""
        session, client, _ = self.open()
        session.client.readConnectionLost()
        session.server.readConnectionLost()
        self.lose(session.server)
        self.clock.advance(59)
        self.assertFalse(client.aborted)
        self.clock.advance(2)
        self.assertTrue(client.aborted)
        self.lose(session.client, ConnectionLost)
        self.assertEqual(self.record.reason, "")

    def test_abort(self) -> None:
        """An aborted session resets both sides, says so, and does it once."""
        session, client, server = self.open()
        session.abort()
        session.abort()
        self.assertTrue(client.aborted and server.aborted)
        self.lose(session.client, ConnectionLost)
        self.lose(session.server, ConnectionLost)
        self.assertEqual(self.record.reason, "shutdown")
        session.abort()
        self.assertEqual(len(self.records), 1)

    def test_abort_while_connecting(self) -> None:
        """An attempt under way is given up."""
        session = self.session()
        session.abort()
        self.assertTrue(self.attempts[0][3].called and session.client.transport.aborted)
        self.lose(session.client, ConnectionLost)
        self.assertEqual((self.record.reason, self.pool.servers[0].active), ("shutdown", 0))


class PeerTests(SynchronousTestCase):
    """From Twisted's addresses to ours."""

    def test_to_peer(self) -> None:
        """TCP addresses keep host and port, unix sockets have none."""
        from twisted.internet.address import UNIXAddress

        self.assertEqual(to_peer(IPv4Address("TCP", "10.0.0.1", 80)), Peer("10.0.0.1", 80))
        self.assertEqual(to_peer(UNIXAddress("/run/x")), Peer("", 0))
