"""Tests for :mod:`balancer.net.secured`: what is above TLS, and what is below."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from balancer.net.secured import Secured
from balancer.net.timers import Wheel
from tests.tls.conversations import client, libraries, server


class Below(StringTransport):
    """A connection that knows how it was closed."""

    aborted = half_closed = False

    def abortConnection(self) -> None:
        self.aborted = True

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def taken(self) -> bytes:
        data = self.value()
        self.clear()
        return bytes(data)


@implementer(IHalfCloseableProtocol)
class Above(Protocol):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard = b""
        self.said: list[str] = []

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def readConnectionLost(self) -> None:
        self.said.append("read end")

    def writeConnectionLost(self) -> None:
        self.said.append("write end")

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:
        self.said.append(type(reason.value).__name__)


class SecuredTests(SynchronousTestCase):
    """A client and a server, each above TLS on a connection in memory."""

    def setUp(self) -> None:
        library = libraries()[-1]
        self.contexts, self.context = server(library), client(library)
        self.faults: list[Any] = []
        self.begin()

    def begin(self, host: str = "shop.example") -> None:
        self.up, self.down = Above(), Above()
        self.ours = Secured(self.context.session(host), lambda _: self.up, self.faults.append, speaks_first=True)
        self.theirs = Secured(self.contexts.session(), lambda _: self.down, self.faults.append)
        self.client, self.server = Below(), Below()
        self.theirs.makeConnection(self.server)
        self.ours.makeConnection(self.client)
        self.turn()

    def turn(self) -> None:
        while True:
            to_server, to_client = self.client.taken(), self.server.taken()
            if not to_server and not to_client:
                return
            if to_server:
                self.theirs.dataReceived(to_server)
            if to_client:
                self.ours.dataReceived(to_client)

    def test_both_ways(self) -> None:
        """What one writes the other hears, and nothing of it is seen below."""
        self.up.transport.write(b"a question")
        seen = self.client.value()
        self.assertNotIn(b"question", seen)
        self.turn()
        self.down.transport.writeSequence([b"an ", b"answer"])
        self.turn()
        self.assertEqual((self.down.heard, self.up.heard), (b"a question", b"an answer"))
        self.assertEqual(self.ours.queued, 0)

    def test_orderly_end(self) -> None:
        """A goodbye is the end of what the other says, which may go on itself."""
        self.up.transport.write(b"last")
        self.up.transport.loseWriteConnection()
        self.assertTrue(self.client.half_closed)
        self.turn()
        self.assertEqual((self.down.heard, self.down.said), (b"last", ["read end"]))
        self.down.transport.write(b"still here")
        self.down.transport.loseConnection()
        self.turn()
        self.assertEqual(self.up.heard, b"still here")
        self.assertTrue(self.server.disconnecting)
        self.theirs.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.down.said, ["read end", "ConnectionDone"])

    def test_cut(self) -> None:
        """An end without a goodbye is none that was meant (RFC 8446 section 6.1)."""
        self.theirs.readConnectionLost()
        self.assertTrue(self.server.aborted)
        self.theirs.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.down.said, [ConnectionLost.__name__])

    def test_damage(self) -> None:
        """What was changed on its way ends the connection, and is not heard."""
        self.up.transport.write(b"hello")
        data = bytearray(self.client.taken())
        data[-1] ^= 1
        self.theirs.dataReceived(bytes(data))
        self.assertTrue(self.server.aborted)
        self.assertEqual(self.down.heard, b"")

    def test_paused(self) -> None:
        """Who has paused hears nothing until he goes on, then all of it in order."""
        self.down.transport.pauseProducing()
        self.assertEqual(self.server.producerState, "paused")
        self.up.transport.write(b"one")
        self.turn()
        self.up.transport.write(b"two")
        self.up.transport.loseWriteConnection()
        self.turn()
        self.assertEqual((self.down.heard, self.down.said), (b"", []))
        self.down.transport.resumeProducing()
        self.assertEqual((self.down.heard, self.down.said), (b"onetwo", ["read end"]))

    def test_producer(self) -> None:
        """Who produces is told by the transport below, and closing waits for it."""
        producer = object()
        self.up.transport.registerProducer(producer, True)
        self.assertIs(self.client.producer, producer)
        self.up.transport.loseConnection()
        self.assertFalse(self.client.disconnecting)
        self.up.transport.write(b"more")
        self.up.transport.unregisterProducer()
        self.assertTrue(self.client.disconnecting)
        self.turn()
        self.assertEqual(self.down.heard, b"more")

    def test_refused(self) -> None:
        """A server that is somebody else is told of once, and so is the server, by an alert; nobody speaks with it."""
        self.begin("other.example")
        told = [str(each) for each in self.faults]
        self.assertEqual(len(told), 2)
        self.assertIn("alert bad_certificate", told)
        self.assertTrue(self.client.disconnecting)
        self.assertEqual(self.up.said, [])

    def test_gone_in_the_handshake(self) -> None:
        """Who goes before it is done is told of as well."""
        waiting = Secured(self.contexts.session(), lambda _: None, self.faults.append)
        waiting.makeConnection(Below())
        waiting.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.faults, [None])

    def test_too_slow(self) -> None:
        """The time for the handshake is limited, and only that."""
        clock, late = Clock(), []
        wheel = Wheel(clock)
        for secured in (Secured(self.contexts.session(), lambda _: None, self.faults.append), self.theirs):
            if secured is not self.theirs:
                secured.makeConnection(Below())
            secured.limit(wheel, 1.0, lambda: late.append(1))
        clock.pump([0.25] * 8)
        self.assertEqual(len(late), 2)
        self.assertFalse(self.theirs.give_up())

    def test_something_else(self) -> None:
        """Who says something that is no TLS may be answered in his own words."""
        below = Below()
        looked = Secured(
            self.contexts.session(),
            lambda _: None,
            self.faults.append,
            first=lambda data: b"no" if data == b"x" else None,
        )
        looked.makeConnection(below)
        looked.dataReceived(b"x")
        self.assertEqual((below.taken(), below.disconnecting), (b"no", True))
