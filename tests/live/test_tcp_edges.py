"""TCP at its edges, with sockets of our own at both ends: resets, slow readers, silent servers, crowds."""

from __future__ import annotations

import hashlib
import resource
import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import gatherResults, inlineCallbacks
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import deferLater

from balancer.listeners.tcp import TCPListener
from balancer.model.address import Address
from balancer.net.connecting import connect
from balancer.net.listening import describe, listen
from balancer.net.splice import PIPE_SIZE
from balancer.pools.pool import Pool
from tests.listeners.layer4 import Layer4TestCase, pool, until
from tests.net.peers import Recorder, Recorders


class Source:
    """A streaming producer of pseudo-random blocks that never stops of itself."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.digest = hashlib.sha256()
        self.sent = 0
        self.paused = False
        self._block = bytes(range(256)) * 128
        self._asked = False
        transport.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        self.paused = False
        if not self._asked:
            self._asked = True
            reactor.callLater(0, self._more)

    def pauseProducing(self) -> None:
        self.paused = True

    def stopProducing(self) -> None:
        self.paused = True

    def _more(self) -> None:
        self._asked = False
        if not self.paused:
            self._block = self._block[1:] + self._block[:1]
            self.digest.update(self._block)
            self.sent += len(self._block)
            self.transport.write(self._block)
            if not self.paused:
                self.resumeProducing()

    def finish(self) -> None:
        self.paused = True
        self.transport.unregisterProducer()
        self.transport.loseWriteConnection()


class EdgeTests(Layer4TestCase):
    """What TCP does at its edges."""

    timeout = 60

    def setUp(self) -> None:
        super().setUp()
        self.servers = Recorders()
        port = listen(reactor, "127.0.0.1:0", self.servers)
        self.addCleanup(port.stopListening)
        self.there = describe(port)

    @inlineCallbacks
    def session(self, listener: TCPListener) -> Any:
        """Return ``(client, server)``, connected through ``listener``."""
        client = yield connect(reactor, Address.parse(listener.addresses[0]), Recorder(), 5)
        server = yield self.servers.next()
        self.addCleanup(client.transport.abortConnection)
        return client, server

    @inlineCallbacks
    def test_reset_by_the_client(self) -> Any:
        """A client's RST reaches the server as a RST."""
        client, server = yield self.session(self.tcp(pool(self.there)))
        client.transport.abortConnection()
        reason = yield server.closed
        self.assertIsInstance(reason, ConnectionLost)
        self.assertFalse(server.finished.called)
        yield self.recorded()
        self.assertEqual(self.records[0].reason, "client_reset")

    @inlineCallbacks
    def test_reset_by_the_server(self) -> Any:
        """A server's RST reaches the client as a RST, after what the server said before it."""
        client, server = yield self.session(self.tcp(pool(self.there)))
        server.transport.write(b"last words")
        yield client.until(10)
        server.transport.abortConnection()
        reason = yield client.closed
        self.assertIsInstance(reason, ConnectionLost)
        self.assertFalse(client.finished.called)
        yield self.recorded()
        self.assertEqual((self.records[0].reason, self.records[0].bytes_out), ("connection_terminated", 10))

    @inlineCallbacks
    def test_reset_in_full_flow(self) -> Any:
        """A client reset while the server sends and queues are full ends both, and leaves nothing behind."""
        listener = self.tcp(pool(self.there))
        client, server = yield self.session(listener)
        client.transport.pauseProducing()
        source = Source(server.transport)
        yield until(lambda: source.paused)
        client.transport.abortConnection()
        yield server.closed
        yield self.recorded()
        self.assertEqual((len(listener.sessions), self.gate.active, len(self.wheel)), (0, 0, 0))

    @inlineCallbacks
    def test_slow_reader(self) -> Any:
        """In both directions: who does not read stops who writes, with little in between; then all arrives intact."""
        pipes = self.pipes
        for reader, writer, lent in ((0, 1, None), (1, 0, None), (0, 1, pipes), (1, 0, pipes)):
            self.pipes = lent
            listener = self.tcp(pool(self.there))
            ends = yield self.session(listener)
            slow, source = ends[reader], Source(ends[writer].transport)
            slow.transport.pauseProducing()
            yield until(lambda: source.paused and ends[writer].transport.queued)
            (session,) = listener.sessions
            held = session.client.transport.queued + session.server.transport.queued
            self.assertGreater(held, 0)
            sent = -1
            while source.sent != sent:  # it takes a few turns until every queue on the way is full
                sent = source.sent
                yield deferLater(reactor, 0.1)
            held = session.client.transport.queued + session.server.transport.queued
            self.assertLessEqual(held, PIPE_SIZE if lent else 256 * 1024)
            slow.transport.resumeProducing()
            yield until(lambda: source.sent > sent)
            source.finish()
            yield slow.finished
            self.assertEqual(hashlib.sha256(slow.data).digest(), source.digest.digest())
            slow.transport.loseConnection()
            yield ends[writer].finished
            ends[writer].transport.loseConnection()
            yield until(lambda: not listener.sessions)
        self.assertEqual([record.reason for record in self.records], [""] * 4)

    @inlineCallbacks
    def test_half_close_both_orders(self) -> Any:
        """Either side may finish first; the other goes on, and the end is orderly for both."""
        listener = self.tcp(pool(self.there))
        for first, second in ((0, 1), (1, 0)):
            ends = yield self.session(listener)
            early, late = ends[first], ends[second]
            early.transport.write(b"early" * 50_000)
            early.transport.loseWriteConnection()
            yield late.finished
            self.assertEqual(len(late.data), 250_000)
            late.transport.write(b"late" * 50_000)
            late.transport.loseConnection()
            yield early.finished
            self.assertEqual(len(early.data), 200_000)
            early.transport.loseConnection()
            for end in ends:
                reason = yield end.closed
                self.assertIsInstance(reason, ConnectionDone)
        yield self.recorded(2)
        self.assertEqual({record.reason for record in self.records}, {""})

    @inlineCallbacks
    def test_first_words_before_the_server(self) -> Any:
        """A client that sends megabytes before there is a server is held back, and loses nothing."""
        target = pool(self.there, max_connections=1)
        listener = self.tcp(target)
        first, holder = yield self.session(listener)
        client = yield connect(reactor, Address.parse(listener.addresses[0]), Recorder(), 5)
        source = Source(client.transport)
        yield until(lambda: source.paused and client.transport.queued)
        self.assertEqual(len(self.servers.all), 1)
        first.transport.abortConnection()
        yield holder.closed
        server = yield self.servers.next()
        yield until(lambda: not client.transport.queued)
        source.finish()
        yield server.finished
        self.assertEqual(hashlib.sha256(server.data).digest(), source.digest.digest())
        server.transport.loseConnection()
        client.transport.loseConnection()
        yield self.recorded(2)
        self.assertGreater(self.records[1].queue, 0)

    @inlineCallbacks
    def test_silent_server(self) -> Any:
        """A server that does not answer within the connect time is left for the next, and blamed."""
        silent = socket.socket()
        self.addCleanup(silent.close)
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for _ in range(4):
            filler = socket.socket()
            self.addCleanup(filler.close)
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        target: Pool = pool(Address(*silent.getsockname()), self.there, connect=0.1)
        client, server = yield self.session(self.tcp(target))
        client.transport.write(b"x")
        yield server.until(1)
        client.transport.abortConnection()
        yield self.recorded()
        self.assertEqual((self.records[0].attempts, self.records[0].server), (2, self.there))
        self.assertEqual([server.connect_failures for server in target.servers], [1, 0])

    @inlineCallbacks
    def test_crowd(self) -> Any:
        """Two hundred sessions at once each carry their own bytes both ways."""
        listener = self.tcp(pool(self.there))
        address = Address.parse(listener.addresses[0])

        @inlineCallbacks
        def one(number: int) -> Any:
            client = yield connect(reactor, address, Recorder(), 10)
            mine = hashlib.sha256(b"%d" % number).digest() * 1000
            client.transport.write(mine)
            client.transport.loseWriteConnection()
            yield client.finished
            client.transport.loseConnection()
            return client.data == mine[::-1]

        @inlineCallbacks
        def answer(server: Recorder) -> Any:
            yield server.finished
            server.transport.write(server.data[::-1])
            server.transport.loseConnection()

        asking = [one(number) for number in range(200)]
        for _ in range(200):
            server = yield self.servers.next()
            answer(server).addErrback(self.fail)
        good = yield gatherResults(asking)
        self.assertEqual(good.count(True), 200)
        yield self.recorded(200)
        self.assertEqual({record.reason for record in self.records}, {""})
        self.assertEqual((self.gate.active, len(self.wheel)), (0, 0))

    @inlineCallbacks
    def test_out_of_descriptors(self) -> Any:
        """With one descriptor left, a client gets in but no connection to a server can be made: closed, nobody blamed."""
        target = pool(self.there)
        listener = self.tcp(target)
        yield deferLater(reactor, 0)
        plain = socket.socket()
        self.addCleanup(plain.close)
        highest = socket.socket()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest.fileno() + 1, hard))
        highest.close()
        plain.connect(("127.0.0.1", Address.parse(listener.addresses[0]).port))
        yield self.recorded()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        self.assertEqual((self.records[0].reason, target.servers[0].failures), ("proxy_internal_error", 0))
        self.assertIn("Too many open files", self.records[0].detail)
        client, _ = yield self.session(listener)
        client.transport.abortConnection()
        yield self.recorded(2)
