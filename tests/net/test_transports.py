"""Transports that send at once: same bytes, same order, same endings as Twisted's own."""

from __future__ import annotations

import resource
import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest, TestCase

from balancer.model.address import Address
from balancer.net import transports
from balancer.net.connecting import connect
from balancer.net.listening import describe, listen
from balancer.net.reactor.connection import Connection
from balancer.net.transports import ClientTransport, ServerTransport
from tests.net.peers import Producer, Recorder, Recorders, reset


class _Live(TestCase):
    """A port of ours, and connections to it."""

    bind = "127.0.0.1:0"
    timeout = 10

    def setUp(self) -> None:
        self.accepted = Recorders()
        self.port: Any = listen(reactor, self.bind, self.accepted)
        self.addCleanup(self.port.stopListening)

    @property
    def address(self) -> Address:
        return Address.parse(describe(self.port))

    @inlineCallbacks
    def pair(self) -> Any:
        """Return ``(client's Recorder, server's Recorder)``, connected."""
        client = yield connect(reactor, self.address, Recorder(), 5)
        server = yield self.accepted.next()
        self.addCleanup(self.close, client, server)
        return client, server

    @inlineCallbacks
    def close(self, *ends: Recorder) -> Any:
        for end in ends:
            if not end.closed.called:
                end.transport.abortConnection()
                yield end.closed

    def plain_client(self) -> socket.socket:
        """Return a blocking socket connected to the port, which reads only when told."""
        skt = socket.socket()
        skt.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        skt.connect((self.address.host, self.address.port))
        skt.settimeout(5)
        self.addCleanup(skt.close)
        return skt

    @inlineCallbacks
    def read_all(self, skt: socket.socket, length: int) -> Any:
        """Read ``length`` bytes, or to the end, letting the reactor work in between."""
        got = bytearray()
        skt.setblocking(False)
        while len(got) < length:
            try:
                data = skt.recv(65536)
            except BlockingIOError:
                yield deferLater(reactor, 0.001)
            else:
                if not data:
                    break
                got += data
        return bytes(got)


class WriteTests(_Live):
    """Writing."""

    @inlineCallbacks
    def test_who_has_reset(self) -> Any:
        """The peer of a connection is known although it was reset before anybody asked."""
        client = self.plain_client()
        name = client.getsockname()
        server = yield self.accepted.next()
        transport = server.transport
        reset(client)
        yield server.closed
        self.assertEqual((transport.getPeer().host, transport.getPeer().port), name)

    @inlineCallbacks
    def test_small_writes_arrive_before_the_reactor_turns(self) -> Any:
        """A write to an idle connection is with the kernel when write() returns, in both directions."""
        plain = self.plain_client()
        server = yield self.accepted.next()
        self.addCleanup(self.close, server)
        server.transport.write(b"one ")
        server.transport.writeSequence([b"two ", b"three"])
        self.assertEqual(plain.recv(100), b"one two three")
        self.assertEqual(server.transport.queued, 0)
        self.assertIsInstance(server.transport, (ServerTransport, Connection))

    @inlineCallbacks
    def test_order_is_kept_past_a_full_socket(self) -> Any:
        """What the kernel does not take is queued, later writes go behind it, and all arrives in order."""
        plain = self.plain_client()
        server = yield self.accepted.next()
        self.addCleanup(self.close, server)
        pieces = [bytes([number % 251]) * 30_011 for number in range(200)]
        for piece in pieces:
            server.transport.write(piece)
        self.assertGreater(server.transport.queued, 0)
        whole = b"".join(pieces)
        got = yield self.read_all(plain, len(whole))
        self.assertEqual(got, whole)
        self.assertEqual(server.transport.queued, 0)

    @inlineCallbacks
    def test_mutable_data_is_copied(self) -> Any:
        """A bytearray that is changed after write() was sent as it was."""
        plain = self.plain_client()
        server = yield self.accepted.next()
        self.addCleanup(self.close, server)
        data = bytearray(b"a" * 8_000_000)
        server.transport.write(data)
        self.assertGreater(server.transport.queued, 0)
        data[:] = b"b" * len(data)
        got = yield self.read_all(plain, len(data))
        self.assertEqual(got.count(b"a"), len(data))

    @inlineCallbacks
    def test_streaming_producer_is_paused_and_resumed(self) -> Any:
        """A full queue pauses the producer, an empty one resumes it."""
        plain = self.plain_client()
        server = yield self.accepted.next()
        self.addCleanup(self.close, server)
        producer = Producer()
        server.transport.registerProducer(producer, True)
        total = 0
        while not producer.asked and total < 50_000_000:
            server.transport.write(b"x" * 65536)
            total += 65536
        self.assertEqual(producer.asked, ["pause"])
        self.assertLess(server.transport.queued, 200_000)
        yield self.read_all(plain, total)
        while len(producer.asked) < 2:
            yield deferLater(reactor, 0.001)
        self.assertEqual(producer.asked, ["pause", "resume"])
        server.transport.unregisterProducer()

    @inlineCallbacks
    def test_pull_producer_is_asked_again_and_again(self) -> Any:
        """A pull producer delivers a piece each time there is room, through the reactor."""
        client, server = yield self.pair()

        class Pull:
            left = 5

            def resumeProducing(self) -> None:
                if self.left:
                    self.left -= 1
                    server.transport.write(b"piece ")
                else:
                    server.transport.unregisterProducer()
                    server.transport.loseConnection()

            def stopProducing(self) -> None:
                raise AssertionError("not stopped")

        server.transport.registerProducer(Pull(), False)
        yield client.finished
        self.assertEqual(client.data, b"piece " * 5)

    @inlineCallbacks
    def test_text_is_refused(self) -> Any:
        """Text is an error at the caller, at once."""
        client, _server = yield self.pair()
        with self.assertRaises(TypeError):
            client.transport.write("text")


class EndTests(_Live):
    """Closing, half-closing, resetting."""

    @inlineCallbacks
    def test_lose_connection_delivers_everything_first(self) -> Any:
        """loseConnection closes after the queue is written."""
        plain = self.plain_client()
        server = yield self.accepted.next()
        server.transport.write(b"x" * 5_000_000)
        server.transport.loseConnection()
        got = yield self.read_all(plain, 5_000_100)
        self.assertEqual(got, b"x" * 5_000_000)
        reason = yield server.closed
        self.assertIsInstance(reason, ConnectionDone)

    def of_ours(self, end: Recorder) -> None:
        """Go on if ``end`` has a transport of :mod:`balancer.net.stream`: those alone have a close of their own."""
        if isinstance(end.transport, Connection):
            raise SkipTest("libuv closes a connection in its own time: loseConnection is its only way")

    @inlineCallbacks
    def test_close_is_at_once(self) -> Any:
        """close() of a connection with nothing to write has closed it when it returns; the peer sees an orderly end."""
        client, server = yield self.pair()
        self.of_ours(server)
        server.transport.close()
        self.assertTrue(server.closed.called)
        yield client.finished

    @inlineCallbacks
    def test_close_delivers_everything_first(self) -> Any:
        """close() of a connection with much to write closes it when that is written."""
        plain = self.plain_client()
        server = yield self.accepted.next()
        self.addCleanup(self.close, server)
        self.of_ours(server)
        server.transport.write(b"x" * 5_000_000)
        server.transport.close()
        self.assertFalse(server.closed.called)
        got = yield self.read_all(plain, 5_000_100)
        self.assertEqual(got, b"x" * 5_000_000)
        yield server.closed

    @inlineCallbacks
    def test_nothing_more_of_what_is_over(self) -> Any:
        """A connection that is gone, with bytes that were never sent, can be told anything: nothing comes of it."""
        plain = self.plain_client()
        server = yield self.accepted.next()
        transport = server.transport
        transport.write(b"x" * 5_000_000)
        reset(plain)
        yield server.closed
        transport.loseWriteConnection()
        transport.write(b"more")
        transport.loseConnection()
        transport.abortConnection()
        self.assertFalse(transport.connected)

    @inlineCallbacks
    def test_half_close_leaves_the_other_direction_open(self) -> Any:
        """A FIN goes one way after all that was written; the other way goes on."""
        client, server = yield self.pair()
        client.transport.write(b"question" * 100_000)
        client.transport.loseWriteConnection()
        yield server.finished
        self.assertEqual(len(server.data), 800_000)
        server.transport.write(b"answer")
        yield client.until(6)
        server.transport.loseConnection()
        yield client.finished
        client.transport.loseConnection()
        yield client.closed

    @inlineCallbacks
    def test_reset_is_a_lost_connection(self) -> Any:
        """A RST ends the connection as lost, with no FIN before it."""
        plain = self.plain_client()
        server = yield self.accepted.next()
        reset(plain)
        reason = yield server.closed
        self.assertIsInstance(reason, ConnectionLost)
        self.assertFalse(server.finished.called)

    @inlineCallbacks
    def test_write_to_a_reset_connection_never_calls_back(self) -> Any:
        """A send that fails inside write() is reported by the reactor later, as a lost connection and not as a FIN."""
        plain = self.plain_client()
        server = yield self.accepted.next()
        reset(plain)
        server.transport.write(b"x")
        server.transport.write(b"y")
        self.assertFalse(server.closed.called)
        reason = yield server.closed
        self.assertIsInstance(reason, ConnectionLost)
        self.assertFalse(server.finished.called)

    @inlineCallbacks
    def test_last_words_are_heard_before_the_loss(self) -> Any:
        """What the peer said before it reset the connection is delivered even if our send fails first."""
        plain = self.plain_client()
        server = yield self.accepted.next()
        plain.sendall(b"413 too large")
        reset(plain)
        server.transport.write(b"more of it")
        reason = yield server.closed
        self.assertIsInstance(reason, ConnectionLost)
        self.assertEqual(server.data, b"413 too large")

    @inlineCallbacks
    def test_abort_sends_a_reset(self) -> Any:
        """abortConnection drops the queue and the peer sees a reset."""
        plain = self.plain_client()
        server = yield self.accepted.next()
        server.transport.write(b"x" * 5_000_000)
        server.transport.abortConnection()
        yield server.closed
        with self.assertRaises(ConnectionResetError):
            while True:
                self.assertTrue(plain.recv(1_000_000))


class AddressTests(_Live):
    """Who is at the ends."""

    @inlineCallbacks
    def test_both_ends_agree(self) -> Any:
        """Each end's peer is the other's host, and Nagle's delay is off."""
        client, server = yield self.pair()
        self.assertEqual(client.transport.getPeer(), server.transport.getHost())
        self.assertEqual(client.transport.getHost(), server.transport.getPeer())
        self.assertIs(server.transport.getHost(), server.transport.getHost())
        self.assertTrue(client.transport.getTcpNoDelay() and server.transport.getTcpNoDelay())
        self.assertIsInstance(client.transport, (ClientTransport, Connection))


class IPv6Tests(AddressTests):
    """The same over IPv6."""

    bind = "[::1]:0"


class DualStackTests(_Live):
    """``*:port``."""

    bind = "*:0"

    @inlineCallbacks
    def test_ipv4_clients_look_like_ipv4(self) -> Any:
        """An IPv4 client of a dual-stack port is shown with its IPv4 address, at both ends."""
        port = self.address.port
        client = yield connect(reactor, Address("127.0.0.1", port), Recorder(), 5)
        server = yield self.accepted.next()
        self.addCleanup(self.close, client, server)
        self.assertEqual(server.transport.getPeer().host, "127.0.0.1")
        self.assertEqual(server.transport.getHost().host, "127.0.0.1")
        client = yield connect(reactor, Address("::1", port), Recorder(), 5)
        server = yield self.accepted.next()
        self.addCleanup(self.close, client, server)
        self.assertEqual(server.transport.getPeer().host, "::1")


class UNIXTests(_Live):
    """Unix sockets, both ends ours."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.bind = f"unix:{self.path}:mode=600"
        super().setUp()

    @inlineCallbacks
    def test_talks_and_half_closes(self) -> Any:
        """Unix sockets carry data, FINs and closes as TCP does."""
        client, server = yield self.pair()
        client.transport.write(b"x" * 3_000_000)
        client.transport.loseWriteConnection()
        yield server.finished
        self.assertEqual(len(server.data), 3_000_000)
        self.assertEqual(client.transport.getPeer().name, self.path.encode())
        server.transport.write(b"answer")
        server.transport.loseConnection()
        yield client.finished
        self.assertEqual(client.data, b"answer")


class ExhaustionTests(_Live):
    """Running out of descriptors."""

    @inlineCallbacks
    def test_accepting_pauses_and_goes_on(self) -> Any:
        """Without a free descriptor the port pauses instead of spinning or dying, then serves those who waited."""
        yield deferLater(reactor, 0)  # trial's reactor opens descriptors of its own when it starts
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        plain = socket.socket()
        self.addCleanup(plain.close)
        highest = socket.socket()
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest.fileno(), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        highest.close()
        plain.connect((self.address.host, self.address.port))
        while not self.port.pauses:
            yield deferLater(reactor, 0.001)
        self.assertEqual(self.accepted.all, [])
        yield deferLater(reactor, transports.ACCEPT_PAUSE / 2)
        self.assertEqual(self.port.pauses, 1)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        server: Recorder = yield self.accepted.next()
        plain.close()
        yield server.finished
        server.transport.loseConnection()
        yield server.closed

    @inlineCallbacks
    def test_one_bad_connection_does_not_close_the_port(self) -> Any:
        """A protocol that fails to start costs its own connection only."""
        build = self.accepted.buildProtocol
        failed: Deferred[None] = Deferred()

        class Broken(Recorder):
            def connectionMade(self) -> None:
                raise ZeroDivisionError

            def connectionLost(self, reason: Any = None) -> None:
                failed.callback(None)

        self.accepted.buildProtocol = lambda addr: Broken()  # type: ignore[method-assign]
        broken = self.plain_client()
        yield failed
        with self.assertRaises(ConnectionResetError):
            broken.recv(1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.accepted.buildProtocol = build  # type: ignore[method-assign]
        yield self.pair()
