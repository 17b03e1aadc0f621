"""Twisted's TCP connection, without what it looks up each time although it is always the same.

A connection of one small request lives for a hundred microseconds of CPU; a search for an adapter of its protocol costs two of
them, a producer that is passed through all the classes it is inherited through one.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.python import log
from twisted.python.failure import Failure

__all__ = ["Lean"]


class Lean(tcp.Connection):
    """Behaves as the class it is made of, but for protocols that are adapted to half-close: they must provide it themselves."""

    if TYPE_CHECKING:  # what Twisted leaves without types
        protocol: Any

    def readConnectionLost(self, reason: Failure) -> None:
        """The peer has sent FIN."""
        if not IHalfCloseableProtocol.providedBy(self.protocol):
            self.connectionLost(reason)
            return
        try:
            self.protocol.readConnectionLost()
        except BaseException:
            log.err()
            self.connectionLost(Failure())

    def _closeWriteConnection(self) -> None:
        """Send FIN."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        if IHalfCloseableProtocol.providedBy(self.protocol):
            try:
                self.protocol.writeConnectionLost()
            except BaseException:
                failure = Failure()
                log.err()
                self.connectionLost(failure)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Be fed by ``producer``."""
        if streaming and not (self.TLS or self.disconnected) and self.producer is None:
            self.producer = producer
            self.streamingProducer = True
        else:
            super().registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """Be fed no more."""
        if self.TLS or self.disconnecting:
            super().unregisterProducer()
        else:
            self.producer = None
