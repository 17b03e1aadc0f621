"""The batching reactor with ports and clients that are ours too, for Twisted's own tests of reactors."""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp

from balancer.net.polling import BatchingEPollReactor
from balancer.net.reactor import uv
from balancer.net.stream import Stream
from balancer.net.transports import ServerPort

__all__ = ["Reactor"]


class _Client(Stream, tcp.Client):
    """A client of Twisted's, reading and writing as ours do."""

    def __init__(self, *arguments: Any) -> None:
        tcp.Client.__init__(self, *arguments)
        if hasattr(self, "socket"):
            self._take_socket(self.socket, self.reactor)


class _Connector(tcp.Connector):
    def _makeTransport(self) -> Any:
        return _Client(self.host, self.port, self.bindAddress, self, self.reactor)


class Reactor(BatchingEPollReactor):
    """Ours, whose listening ports and clients are ours too."""

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Return a port of ours."""
        made = ServerPort(port, factory, backlog, interface, self)
        made.startListening()
        return made

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None) -> Any:
        """Return a connector that makes clients of ours."""
        made = _Connector(host, port, factory, timeout, bindAddress, self)
        made.connect()
        return made


def UVReactor(case: Any) -> Any:
    """Return a reactor on libuv whose loop is closed at the end of ``case``."""
    made = uv.UVReactor()
    case.addCleanup(made.loop.close)
    return made
