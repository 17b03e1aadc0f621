"""One side of a TCP session: the protocol of one connection, and the producer for the other side's.

:meth:`Side.dataReceived` is the path of every byte: it counts, touches the idle timer and calls the other side's
``transport.write``. No Deferred, no closure, no ``callLater``. What a side's events mean, :mod:`.session` decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from balancer.net.timers import Entry

if TYPE_CHECKING:
    from balancer.forwarding.session import Session

__all__ = ["Side"]


@implementer(IProtocol, IHalfCloseableProtocol, IPushProducer)
class Side:
    """One end of a session: the protocol of its connection, and the producer for the other end's.

    ``received`` counts bytes. ``finished`` is true once its peer has sent FIN, ``lost`` once the connection is gone
    (a side that was never connected counts as gone).
    """

    __slots__ = ("_session", "factory", "finished", "forward", "lost", "received", "timer", "transport")

    def __init__(self, session: Session, timer: Entry) -> None:
        self._session = session
        self.timer = timer
        self.transport: Any = None
        self.forward: Callable[[bytes], None] = session.hold
        self.received = 0
        self.finished = False
        self.lost = True

    def makeConnection(self, transport: Any) -> None:
        """The connection stands."""
        self.transport = transport
        self.lost = False
        self.connectionMade()

    def connectionMade(self) -> None:
        """Tell the session, if this is its client."""
        self._session.stands(self)

    def dataReceived(self, data: bytes) -> None:
        """Pass ``data`` on."""
        self.received += len(data)
        self.timer.touch()
        self.forward(data)

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

    def finish(self) -> None:
        """Send FIN when everything is written."""
        if not self.lost:
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()

    def close(self) -> None:
        """Close when everything is written."""
        if not self.lost:
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()  # with nothing left to write, the next line then closes at once
            self.transport.loseConnection()

    def abort(self) -> None:
        """Reset the connection."""
        if not self.lost:
            self.transport.abortConnection()
