"""Bytes that a connection begins with."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.test.reactormixins import ReactorBuilder
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from balancer.model.address import Address
from balancer.net.connecting import connect
from balancer.net.first_words import FirstWords
from balancer.net.listening import describe, listen
from tests.net.peers import Recorder, Recorders
from tests.net.twisted_tests import cases


class FirstWordsTests(TestCase):
    timeout = 10

    def test_order(self) -> None:
        """The words come before what the protocol says, whose connection it is from then on."""
        transport: Any = StringTransport()
        said: list[bytes] = []

        class Spoken(Recorder):
            def connectionMade(self) -> None:
                said.append(transport.value())
                self.transport.write(b"then")

        protocol = Spoken()
        words = FirstWords(b"first", protocol)
        verifyObject(IProtocol, words)
        words.makeConnection(transport)
        self.assertEqual((said, transport.value()), ([b"first"], b"firstthen"))
        self.assertIs(transport.protocol, protocol)

    def test_foreign_transport(self) -> None:
        """A transport that goes on telling this one has what it says passed on."""
        protocol = Recorder()
        words = FirstWords(b"first", protocol)
        words.makeConnection(StringTransport())
        words.dataReceived(b"answer")
        words.connectionLost(Failure(ConnectionError()))
        self.assertEqual((protocol.data, protocol.closed.called), (b"answer", True))

    @inlineCallbacks
    def test_connected(self) -> Any:
        """connect() fires with the protocol itself; by address or by name, spliced or not."""
        servers = Recorders()
        port = listen(reactor, "127.0.0.1:0", servers)
        self.addCleanup(port.stopListening)
        address = Address.parse(describe(port))
        for where in (address, Address("localhost", address.port)):
            for spliced in (False, True):
                protocol = Recorder()
                client = yield connect(reactor, where, protocol, 5, spliced=spliced, first=b"first ")
                self.assertIs(client, protocol)
                client.transport.write(b"second")
                server = yield servers.next()
                yield server.until(12)
                self.assertEqual(server.data, b"first second")
                server.transport.write(b"answer")
                yield client.until(6)
                server.transport.loseConnection()
                yield client.finished
                client.transport.loseConnection()
                yield client.closed


class LibuvTests(ReactorBuilder):
    """The same on connections that libuv has."""

    def test_dialled(self) -> None:
        made: Any = self.buildReactor()
        heard: list[bytes] = []

        class Served(Protocol):
            data = b""
            transport: Any

            def dataReceived(self, data: bytes) -> None:
                self.data += data
                if len(self.data) == 12:
                    heard.append(self.data)
                    self.transport.write(b"answer")

        class Client(Protocol):
            transport: Any

            def connectionMade(self) -> None:
                self.transport.write(b"second")

            def dataReceived(self, data: bytes) -> None:
                heard.append(data)
                self.transport.loseConnection()

            def connectionLost(self, reason: Any = None) -> None:
                made.stop()

        port = made.listenTCP(0, ServerFactory.forProtocol(Served), interface="127.0.0.1")
        address = Address("127.0.0.1", port.getHost().port)
        client = Client()
        got: list[Any] = []
        connect(made, address, client, 5, first=b"first ").addCallback(got.append)
        self.runReactor(made)
        self.assertEqual((heard, got), ([b"first second", b"answer"], [client]))


globals().update(cases("tests.net.whole.UVReactor", [LibuvTests], {}, __name__))
del LibuvTests
