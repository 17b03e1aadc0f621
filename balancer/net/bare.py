"""Twisted's ``Protocol`` without Twisted's class: what is compiled (:mod:`balancer.compiled`) cannot inherit from that."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import ILoggingContext, IProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import classImplements

from balancer.compiled import mypyc_attr

__all__ = ["BareProtocol"]


@mypyc_attr(allow_interpreted_subclasses=True)
class BareProtocol:
    """Behaves as :class:`twisted.internet.protocol.Protocol`."""

    transport: Any = None
    connected: int = 0
    factory: Any = None

    def makeConnection(self, transport: Any) -> None:
        """The connection is there, and this is its transport."""
        self.connected = 1
        self.transport = transport
        self.connectionMade()

    def connectionMade(self) -> None:
        """The connection is there."""

    def dataReceived(self, data: bytes) -> None:
        """Some bytes have arrived."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""

    def logPrefix(self) -> str:
        """How the log names it."""
        return self.__class__.__name__


classImplements(BareProtocol, IProtocol, ILoggingContext)
