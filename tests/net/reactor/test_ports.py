"""Accepting on libuv: who is refused leaves nothing behind."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.test.reactormixins import ReactorBuilder

from tests.net.twisted_tests import cases


class RefusalTests(ReactorBuilder):
    def refused(self, build: Any) -> None:
        """Let ``build`` refuse twenty clients; each sees its end, and no descriptor is left."""
        reactor: Any = self.buildReactor()
        left = 20

        class Refusing(ServerFactory):
            def buildProtocol(self, address: Any) -> Any:
                nonlocal left
                left -= 1
                if not left:
                    reactor.callLater(0, reactor.stop)
                return build()

        port = reactor.listenTCP(0, Refusing(), interface="127.0.0.1")
        clients = [socket.create_connection(("127.0.0.1", port.getHost().port), 10) for _ in range(20)]
        before = len(os.listdir("/proc/self/fd"))
        self.runReactor(reactor)
        for client in clients:
            try:
                self.assertEqual(client.recv(1), b"")
            except ConnectionResetError:
                pass
        self.assertLess(len(os.listdir("/proc/self/fd")), before + 10)  # the reactor itself may have one or two more
        for client in clients:
            client.close()

    def test_no_protocol(self) -> None:
        """A factory without a protocol for a client has its connection closed."""
        self.refused(lambda: None)

    def test_factory_that_raises(self) -> None:
        """A factory that raises costs that client its connection, and the port goes on."""

        def build() -> Protocol:
            raise ZeroDivisionError

        self.refused(build)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 20)


globals().update(cases("tests.net.whole.UVReactor", [RefusalTests], {}, __name__))
del RefusalTests
