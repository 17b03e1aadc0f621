"""The ``tcp`` probe: a server is well if it accepts a connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from balancer.hooks.interfaces import IProbe, IServer

__all__ = ["TCPProbe"]


@implementer(IProbe)
class TCPProbe:
    """Connects, and closes at once."""

    def probe(self, connect: Callable[[Any], Deferred[Any]], server: IServer) -> Deferred[str]:
        """Fire with ``connected``, or fail as the attempt to connect did."""
        return connect(Protocol()).addCallback(_connected)

    def __repr__(self) -> str:
        return "<TCPProbe>"


def _connected(protocol: Any) -> str:
    protocol.transport.abortConnection()
    return "connected"
