"""One side of a TCP session: the protocol of one connection, and the producer for the other side's.

:meth:`Side.dataReceived` is the path of every byte: it counts, touches the idle timer and calls the other side's
``transport.write``. No Deferred, no closure, no ``callLater``. What a side's events mean, :mod:`.session` decides.

A side that has said a lot is given a :class:`~balancer.net.splice.Pump`: then the kernel moves the bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from balancer.net.splice import Pump, can_splice
from balancer.net.stream import Stream
from balancer.net.timers import Entry

if TYPE_CHECKING:
    from balancer.forwarding.session import Session
    from balancer.net.splice import Pipes

__all__ = ["POUR_FROM", "Side"]

POUR_AFTER = 65536
"""Bytes that a side must have said before what it says is spliced: short sessions are not worth it."""

POUR_FROM = 4096
"""Bytes that must arrive at once for splicing to begin; from 8 KiB on it costs less than to copy, below it costs no more."""


@implementer(IProtocol, IHalfCloseableProtocol, IPushProducer)
class Side:
    """One end of a session: the protocol of its connection, and the producer for the other end's.

    ``received`` counts bytes. ``finished`` is true once its peer has sent FIN, ``lost`` once the connection is gone
    (a side that was never connected counts as gone). ``pump`` moves what it says, once that has become a lot.
    """

    __slots__ = (
        "_session",
        "factory",
        "finished",
        "forward",
        "lost",
        "pour_from",
        "pump",
        "received",
        "timer",
        "transport",
    )

    def __init__(self, session: Session, timer: Entry) -> None:
        self._session = session
        self.timer = timer
        self.transport: Any = None
        self.forward: Callable[[bytes], None] = session.hold
        self.pour_from = POUR_FROM
        self.pump: Pump | None = None
        self.received = 0
        self.finished = False
        self.lost = True

    def makeConnection(self, transport: Any) -> None:
        """The connection stands."""
        self.transport = transport
        self.lost = False
        self._session.stands(self)

    def connectionMade(self) -> None:
        """Part of the interface; :meth:`makeConnection` has told the session."""

    def dataReceived(self, data: bytes) -> None:
        """Pass ``data`` on."""
        size = len(data)
        self.received += size
        self.timer.touch()
        self.forward(data)
        if size >= self.pour_from and self.received >= POUR_AFTER:
            self._session.pour(self)

    def poured(self, size: int) -> None:
        """Count bytes that were passed on without passing here."""
        self.received += size
        self.timer.touch()

    def readConnectionLost(self) -> None:
        """The peer sent FIN."""
        self.finished = True
        self._session.finished(self)

    def writeConnectionLost(self) -> None:
        """Our FIN is on its way."""

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone."""
        self.lost = True
        self._session.lost(self, reason)

    def pauseProducing(self) -> None:
        """The other side has enough to write."""
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """The other side has written what it had."""
        if not self.finished and not self.lost:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The other side's connection is gone; it says so itself, at once, through ``connectionLost``."""

    def start_to(self, other: Side) -> None:
        """Send what arrives to ``other`` from now on."""
        self.forward = other.transport.write
        other.transport.registerProducer(self, True)

    def pour_to(self, other: Side, pipes: Pipes | None, reactor: Any) -> None:
        """Splice to ``other`` from now on, where both transports are ours or can be made so, and ``pipes`` has pipes."""
        if pipes is None or not can_splice():
            self.pour_from = sys.maxsize
            return
        if not (_is_stream(self.transport) and _is_stream(other.transport)):
            self.pour_from = other.pour_from = sys.maxsize
            return
        self.pour_from = sys.maxsize
        self.pump = Pump(self.transport, other.transport, pipes, self.poured, self._session.moved)
        self.pump.start()

    def finish(self) -> None:
        """Send FIN when everything is written."""
        if not self.lost:
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()

    def close(self) -> None:
        """Close when everything is written."""
        if not self.lost:
            transport = self.transport
            transport.unregisterProducer()
            if _is_stream(transport):
                transport.close()
            else:
                transport.loseWriteConnection()  # with nothing left to write, the next line then closes at once
                transport.loseConnection()

    def abort(self) -> None:
        """Reset the connection."""
        if not self.lost:
            self.transport.abortConnection()

    def leave(self) -> None:
        """Forget the session, which is over: then both are freed at once, and not by the garbage collector."""
        del self._session
        self.forward = _nowhere


def _nowhere(_data: bytes) -> None:
    """Where bytes go when the session is over: none come."""


def _is_stream(transport: Any) -> bool:
    """Whether the bytes of ``transport`` are what its descriptor says, and ours to take."""
    return isinstance(transport, Stream) and not transport.TLS
