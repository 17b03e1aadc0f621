"""What connections do to each other whose data was read in one batch: for each reactor that serves in batches."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.test.reactormixins import ReactorBuilder

__all__ = ["BatchTests"]


class _Meddler(Protocol):
    """Keeps what it receives; the first that receives anything acts on the other one."""

    transport: Any

    def __init__(self, met: Callable[[_Meddler], None]) -> None:
        self._met = met
        self.received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self._met(self)


class _Puller(Protocol):
    """Answers with so many large pieces, one each time it is asked; ``nested`` counts when that was while it was writing."""

    transport: Any

    def __init__(self, pieces: int, done: Callable[[], None]) -> None:
        self.nested = 0
        self._pieces = iter(range(pieces))
        self._writing = False
        self._done = done

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(b"held back")
        self.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        self.nested += self._writing
        number = next(self._pieces, None)
        if number is None:
            self.transport.unregisterProducer()
            self.transport.loseConnection()
            return
        self._writing = True
        self.transport.write(bytes([number]) * 70_000)
        self._writing = False

    def stopProducing(self) -> None:
        """Part of the interface."""

    def connectionLost(self, reason: Any = None) -> None:
        self._done()


class BatchTests(ReactorBuilder):
    """What one connection does to another whose data was read in the same batch."""

    def meet(self, act: Callable[[Any], None], later: Callable[[Any], None]) -> tuple[bytes, bytes, bytes]:
        """Let two clients send at once; the one served first does ``act`` to the other's transport, then ``later``.

        Returns:
            What the other had received before ``later``, what in the end, and what its client got.
        """
        reactor: Any = self.buildReactor()
        made: list[_Meddler] = []
        others: list[_Meddler] = []
        before: list[bytes] = []

        def met(first: _Meddler) -> None:
            if not others:
                others.append(next(each for each in made if each is not first))
                act(others[0].transport)
                reactor.callLater(0.05, proceed)

        def proceed() -> None:
            before.append(others[0].received)
            later(others[0].transport)
            reactor.callLater(0.05, reactor.stop)

        class Made(ServerFactory):
            def buildProtocol(self, address: Any) -> Protocol:
                made.append(_Meddler(met))
                if len(made) == 2:
                    reactor.callLater(0, lambda: [client.send(b"data") for client in clients])
                return made[-1]

        port = reactor.listenTCP(0, Made(), interface="127.0.0.1")
        clients = self.clients = [socket.create_connection(("127.0.0.1", port.getHost().port)) for _ in range(2)]
        for client in clients:
            self.addCleanup(client.close)
        self.runReactor(reactor)
        got = b""
        for client in clients:
            client.setblocking(False)
            try:
                got += client.recv(100)
            except OSError:
                pass
        return before[0], others[0].received, got

    def test_paused(self) -> None:
        """Data that was read waits until its connection is resumed."""
        outcome = self.meet(lambda other: other.pauseProducing(), lambda other: other.resumeProducing())
        self.assertEqual(outcome, (b"", b"data", b""))

    def test_paused_while_more_comes(self) -> None:
        """What was read before is received before what came since, whoever resumes the connection, and when."""

        def resume(other: Any) -> None:
            for client in self.clients:
                client.send(b", and more")
            other.resumeProducing()

        _, received, _ = self.meet(lambda other: other.pauseProducing(), resume)
        self.assertEqual(received, b"data, and more")

    def test_aborted(self) -> None:
        """Data that was read does not reach a connection that was ended."""
        outcome = self.meet(lambda other: other.abortConnection(), lambda _: None)
        self.assertEqual(outcome, (b"", b"", b""))

    def test_written(self) -> None:
        """Several writes, then a close, in one batch: all of it goes out, in order."""

        def write(other: Any) -> None:
            for piece in (b"a", b"b", b"c"):
                other.write(piece)
            other.loseConnection()

        self.assertEqual(self.meet(write, lambda _: None), (b"", b"", b"abc"))

    def test_pulled(self) -> None:
        """A pull producer is not asked for more in the middle of a write, also where the batch holds something already."""
        reactor: Any = self.buildReactor()
        puller = _Puller(20, reactor.stop)
        port = reactor.listenTCP(0, ServerFactory.forProtocol(lambda: puller), interface="127.0.0.1")
        client = socket.create_connection(("127.0.0.1", port.getHost().port), 20)
        self.addCleanup(client.close)
        client.send(b"data")
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.extend(iter(lambda: client.recv(1_000_000), b"")))
        reader.start()
        self.runReactor(reactor, timeout=20)
        reader.join()
        self.assertEqual(puller.nested, 0)
        self.assertEqual(b"".join(got), b"held back" + b"".join(bytes([number]) * 70_000 for number in range(20)))

    def test_time(self) -> None:
        """Time is monotonic, for calls to come as well: nobody who sets the clock makes them early or late."""
        reactor: Any = self.buildReactor()
        before = time.monotonic()
        call = reactor.callLater(0, reactor.stop)
        self.assertTrue(before <= reactor.seconds() <= call.seconds() <= time.monotonic())
        self.assertTrue(before <= call.getTime() <= time.monotonic())
        self.runReactor(reactor)
