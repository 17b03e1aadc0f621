"""Two ends in memory, and what the tests of tunnels have in common."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from balancer.forwarding.ends import TransportEnd
from balancer.forwarding.tunnel import Tunnel
from balancer.net.timers import Wheel

__all__ = ["DONE", "LOST", "Line", "TunnelTestCase"]

DONE = Failure(ConnectionDone())
LOST = Failure(ConnectionLost())


class Line(StringTransport):
    """A transport in memory that remembers what was done to it, and does not mind being asked twice."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.queued = 0

    def loseWriteConnection(self) -> None:
        self.said.append("end")

    def loseConnection(self) -> None:
        self.said.append("close")

    def abortConnection(self) -> None:
        self.said.append("abort")

    def unregisterProducer(self) -> None:
        self.producer = None

    def stopProducing(self) -> None:
        raise AssertionError("nobody may stop a transport by this")

    def pauseProducing(self) -> None:
        self.producerState = "paused"

    def resumeProducing(self) -> None:
        self.producerState = "producing"

    def taken(self) -> bytes:
        """Return what was written since the last look."""
        data = self.value()
        self.clear()
        return data

    def congest(self) -> None:
        """Ask the producer to pause, as a transport does whose queue is full."""
        assert self.producer is not None
        self.producer.pauseProducing()


class TunnelTestCase(SynchronousTestCase):
    tunnel: Tunnel

    def setUp(self) -> None:
        self.clock = Clock()
        self.wheel = Wheel(self.clock)
        self.client, self.server = Line(), Line()
        self.ended: list[str] = []

    def done(self, tunnel: Tunnel, code: str) -> None:
        self.ended.append(code)

    def join(self, from_client: bytes = b"", from_server: bytes = b"") -> None:
        self.tunnel.join(TransportEnd(self.client), TransportEnd(self.server), from_client, from_server)

    def spend(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)
