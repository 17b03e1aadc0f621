"""Protocols and sockets for the other end of a connection under test."""

from __future__ import annotations

import socket
import struct
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(IHalfCloseableProtocol)
class Recorder(Protocol):
    """Keeps what happens to it; ``finished`` fires at the peer's FIN, ``closed`` with the reason at the end."""

    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.made: Deferred[Recorder] = Deferred()
        self.finished: Deferred[Recorder] = Deferred()
        self.closed: Deferred[Failure] = Deferred()
        self._awaited: list[tuple[int, Deferred[bytes]]] = []

    def connectionMade(self) -> None:
        self.made.callback(self)

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        ripe = [entry for entry in self._awaited if entry[0] <= len(self.data)]
        self._awaited = [entry for entry in self._awaited if entry[0] > len(self.data)]
        for _, awaited in ripe:
            awaited.callback(self.data)

    def until(self, count: int) -> Deferred[bytes]:
        """Fire when ``count`` bytes have come in all."""
        awaited: Deferred[bytes] = Deferred()
        if len(self.data) >= count:
            awaited.callback(self.data)
        else:
            self._awaited.append((count, awaited))
        return awaited

    def readConnectionLost(self) -> None:
        self.finished.callback(self)

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        for _, awaited in self._awaited:
            awaited.errback(reason)
        self._awaited = []
        # Not as a Failure: it would be one for the Deferred too.
        self.closed.callback(reason.value)


class Recorders(Factory[Recorder]):
    """Makes a :class:`Recorder` for each connection; :meth:`next` is the next one accepted."""

    noisy = False

    def __init__(self) -> None:
        self.all: list[Recorder] = []
        self._waiting: list[Deferred[Recorder]] = []
        self._fresh: list[Recorder] = []

    def buildProtocol(self, addr: Any) -> Recorder:
        made = Recorder()
        self.all.append(made)
        made.made.addCallback(self._made)
        return made

    def _made(self, made: Recorder) -> None:
        if self._waiting:
            self._waiting.pop(0).callback(made)
        else:
            self._fresh.append(made)

    def next(self) -> Deferred[Recorder]:
        """Fire with the next connection accepted, which may be one that is here already."""
        coming: Deferred[Recorder] = Deferred()
        if self._fresh:
            coming.callback(self._fresh.pop(0))
        else:
            self._waiting.append(coming)
        return coming


class Producer:
    """A streaming producer that notes how it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def pauseProducing(self) -> None:
        self.asked.append("pause")

    def resumeProducing(self) -> None:
        self.asked.append("resume")

    def stopProducing(self) -> None:
        self.asked.append("stop")


def reset(skt: socket.socket) -> None:
    """Close a plain socket with a RST."""
    skt.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    skt.close()
