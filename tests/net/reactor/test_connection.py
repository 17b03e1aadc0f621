"""What is left of a connection on libuv when it is over."""

from __future__ import annotations

import gc
import os
import socket
import weakref
from typing import Any

from twisted.internet.interfaces import IConsumer, ITCPTransport, ITLSTransport
from twisted.internet.protocol import ClientFactory, Protocol, ServerFactory
from twisted.internet.test.reactormixins import ReactorBuilder
from zope.interface.verify import verifyObject

from tests.net.twisted_tests import cases


class _Echo(Protocol):
    transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class EndTests(ReactorBuilder):
    def test_closed_when_told(self) -> None:
        """An accepted connection that is closed, by either end, has no descriptor any more when its protocol hears of it."""
        reactor: Any = self.buildReactor()
        clients = []
        told: list[str] = []

        class Served(Protocol):
            transport: Any

            def connectionMade(self) -> None:
                self.descriptor = self.transport.fileno()
                if len(clients) == 1:
                    self.transport.loseConnection()
                elif len(clients) == 2:
                    self.transport.abortConnection()
                else:
                    clients[-1].close()

            def connectionLost(self, reason: Any = None) -> None:
                try:
                    os.fstat(self.descriptor)
                except OSError:
                    told.append(reason.type.__name__)
                if len(clients) < 3:
                    connect()
                else:
                    reactor.stop()

        port = reactor.listenTCP(0, ServerFactory.forProtocol(Served), interface="127.0.0.1")

        def connect() -> None:
            clients.append(socket.create_connection(("127.0.0.1", port.getHost().port)))
            self.addCleanup(clients[-1].close)

        reactor.callWhenRunning(connect)
        self.runReactor(reactor)
        self.assertEqual(told, ["ConnectionDone", "ConnectionAborted", "ConnectionDone"])

    def test_no_future_waits(self) -> None:
        """A connection that is open keeps no coroutine of uvloop's, and nothing that uvloop's future is bound to."""
        reactor: Any = self.buildReactor()
        waiting: list[int] = []

        def look() -> None:
            kinds = [type(each).__name__ for each in gc.get_objects()]
            waiting.append(kinds.count("Future"))

        class Served(_Echo):
            def dataReceived(self, data: bytes) -> None:
                look()
                reactor.stop()

        port = reactor.listenTCP(0, ServerFactory.forProtocol(Served), interface="127.0.0.1")
        look()
        client = socket.create_connection(("127.0.0.1", port.getHost().port))
        self.addCleanup(client.close)
        client.sendall(b"x")
        self.runReactor(reactor)
        self.assertEqual(waiting[1], waiting[0])


class LifeTests(ReactorBuilder):
    def left(self, connect: Any) -> int:
        """Let ``connect(reactor, port, protocol)`` connect twenty clients that say something; return how many live on."""
        reactor: Any = self.buildReactor()
        alive: list[weakref.ref[Any]] = []
        over = 0

        def noted(protocol: Any) -> None:
            alive.append(weakref.ref(protocol))
            alive.append(weakref.ref(protocol.transport))

        class Served(_Echo):
            def connectionMade(self) -> None:
                noted(self)

        class Client(Protocol):
            transport: Any

            def connectionMade(self) -> None:
                noted(self)
                for interface in ITCPTransport, ITLSTransport, IConsumer:
                    verifyObject(interface, self.transport)
                self.transport.write(b"something")

            def dataReceived(self, data: bytes) -> None:
                self.transport.loseConnection()

            def connectionLost(self, reason: Any = None) -> None:
                nonlocal over
                over += 1
                if over == 20:
                    reactor.callLater(0.05, look)

        def look() -> None:
            found.append(sum(each() is not None for each in alive))
            reactor.stop()

        found: list[int] = []
        port = reactor.listenTCP(0, ServerFactory.forProtocol(Served), interface="127.0.0.1")
        for _ in range(20):
            connect(reactor, port.getHost().port, Client)
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        self.runReactor(reactor)
        self.assertEqual(len(alive), 80)
        return found[0]

    def test_dialled(self) -> None:
        """Nothing is left for the collector of a connection made without a connector, at either end."""

        def connect(reactor: Any, port: int, protocol: Any) -> None:
            reactor.dial(protocol(), ("127.0.0.1", port), lambda: None, lambda error: None)

        self.assertEqual(self.left(connect), 0)

    def test_by_factory(self) -> None:
        """Of one made with a connector, the transport and its protocol are gone too."""

        def connect(reactor: Any, port: int, protocol: Any) -> None:
            factory = ClientFactory.forProtocol(protocol)
            factory.noisy = False
            reactor.connectTCP("127.0.0.1", port, factory)

        self.assertLessEqual(self.left(connect), 40)  # Twisted's connector and its client refer to each other


globals().update(cases("tests.net.whole.UVReactor", [EndTests, LifeTests], {}, __name__))
del EndTests, LifeTests
