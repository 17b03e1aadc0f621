"""What is left of a connection on libuv when it is over."""

from __future__ import annotations

import gc
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


globals().update(cases("tests.net.whole.UVReactor", [LifeTests], {}, __name__))
del LifeTests
