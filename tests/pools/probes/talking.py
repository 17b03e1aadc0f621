"""A connection in memory between a probe and a server that the test plays."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from balancer.model.address import Address
from balancer.pools.server import Server


class Wire(StringTransport):
    """A transport that remembers how it was closed."""

    closed = ""

    def loseConnection(self) -> None:
        """Note a close."""
        self.closed = self.closed or "closed"
        super().loseConnection()

    def abortConnection(self) -> None:
        """Note a reset."""
        self.closed = self.closed or "aborted"
        super().abortConnection()


class Talk:
    """One probe of one server."""

    def __init__(self, probe: Any, address: str = "192.0.2.1:8080", protocol: str = "http1") -> None:
        self.wire = Wire()
        self.protocol: Any = None
        self.outcome: Deferred[str] = probe.probe(
            self._connect, Server(Address.parse(address), "app", protocol=protocol)
        )

    def _connect(self, protocol: Any) -> Deferred[Any]:
        self.protocol = protocol
        protocol.makeConnection(self.wire)
        return succeed(protocol)

    def sent(self) -> bytes:
        """What the probe has sent since the last time."""
        data = self.wire.value()
        self.wire.clear()
        return data

    def say(self, data: bytes) -> Talk:
        """Let the server send ``data``."""
        self.protocol.dataReceived(data)
        return self

    def byte_by_byte(self, data: bytes) -> Talk:
        """Let the server send ``data`` slowly."""
        for at in range(len(data)):
            self.protocol.dataReceived(data[at : at + 1])
        return self

    def hang_up(self) -> Talk:
        """Let the server close."""
        self.protocol.connectionLost(Failure(ConnectionDone()))
        return self
