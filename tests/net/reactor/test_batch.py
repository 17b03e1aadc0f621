"""Connections that are served together, on libuv."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.test.reactormixins import ReactorBuilder

from balancer.net.reactor.batch import BATCH_SIZE
from tests.net.batches import BatchTests
from tests.net.twisted_tests import cases


class OrderTests(ReactorBuilder):
    """What one connection receives and writes keeps its order."""

    def served(self, protocol: type[Protocol], sent: bytes, shut: bool = True) -> bytes:
        """Return what comes back from ``protocol`` for ``sent``, all of which is there when it begins."""
        reactor: Any = self.buildReactor()
        port = reactor.listenTCP(0, ServerFactory.forProtocol(protocol), interface="127.0.0.1")
        client = socket.create_connection(("127.0.0.1", port.getHost().port))
        self.addCleanup(client.close)
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * BATCH_SIZE)
        got = bytearray()
        left = memoryview(sent)

        def turn() -> None:
            nonlocal left
            try:
                if left:
                    left = left[client.send(left) :]
                    if not left and shut:
                        client.shutdown(socket.SHUT_WR)
            except BlockingIOError:
                pass
            try:
                more = client.recv(1 << 20)
            except BlockingIOError:
                more = None
            except ConnectionResetError:
                more = b""
            if more == b"":
                reactor.stop()
                return
            got.extend(more or b"")
            reactor.callLater(0, turn)

        reactor.callWhenRunning(turn)
        self.runReactor(reactor)
        return bytes(got)

    def test_small_and_large_writes(self) -> None:
        """What is too large to wait for the end of the batch still comes after what waits."""

        class Writer(Protocol):
            transport: Any

            def dataReceived(self, data: bytes) -> None:
                self.transport.write(b"a" * 10)
                self.transport.write(b"b" * 100_000)
                self.transport.writeSequence([b"c" * 10, b"d" * 10])
                self.transport.loseConnection()

        got = self.served(Writer, b"go", shut=False)
        self.assertEqual(got, b"a" * 10 + b"b" * 100_000 + b"c" * 10 + b"d" * 10)

    def test_more_than_a_batch(self) -> None:
        """What arrives is echoed in order, though it is more than one batch holds, and FIN comes last."""

        class Echo(Protocol):
            transport: Any

            def connectionMade(self) -> None:
                self.left = 3 * BATCH_SIZE

            def dataReceived(self, data: bytes) -> None:
                self.transport.write(data)
                self.left -= len(data)
                if not self.left:
                    self.transport.loseConnection()

        sent = b"".join(number.to_bytes(4, "big") for number in range(3 * BATCH_SIZE // 4))
        self.assertEqual(self.served(Echo, sent, shut=False), sent)

    def test_paused_in_connection_made(self) -> None:
        """Nothing is received by a protocol that paused from the start, until it resumes; then all of it, in order."""
        early: list[bytes] = []

        class Later(Protocol):
            transport: Any

            def connectionMade(self) -> None:
                self.waiting = True
                self.transport.pauseProducing()
                self.transport.reactor.callLater(0.05, self.resume)

            def resume(self) -> None:
                self.waiting = False
                self.transport.resumeProducing()

            def dataReceived(self, data: bytes) -> None:
                if self.waiting:
                    early.append(data)
                self.transport.write(data)

        sent = bytes(range(256)) * 100
        self.assertEqual(self.served(Later, sent), sent)
        self.assertEqual(early, [])


globals().update(cases("tests.net.whole.UVReactor", [BatchTests, OrderTests], {}, __name__))
del BatchTests, OrderTests
