"""Bytes that a connection begins with, before whatever is spoken on it: before TLS, too.

::

    connected ──> the bytes are written ──> the transport is the protocol's, who never hears of them
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["FirstWords"]


@implementer(IProtocol)
class FirstWords:
    """The protocol of a connection until it stands.

    Args:
        words: written at once.
        then: given the transport.
    """

    __slots__ = ("_then", "_words", "factory")

    def __init__(self, words: bytes, then: Any) -> None:
        self._words = words
        self._then = then

    def makeConnection(self, transport: Any) -> None:
        """The connection stands."""
        transport.protocol = self._then
        transport.write(self._words)
        self._then.makeConnection(transport)

    def connectionMade(self) -> None:
        """Part of the interface; :meth:`makeConnection` does it all."""

    def dataReceived(self, data: bytes) -> None:
        """Pass on what comes, from a transport that has another idea of who its protocol is."""
        self._then.dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:
        """Likewise for the end."""
        self._then.connectionLost(reason)
