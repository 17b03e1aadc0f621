"""Tests of how a client's connection ends."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from balancer.listeners.http.ending import Ending
from balancer.net.timers import Wheel


class _Wire:
    """A connection that notes how it was closed; ``left`` is what the other end has not taken."""

    def __init__(self) -> None:
        self.left = 0
        self.said: list[str] = []

    def loseWriteConnection(self) -> None:
        self.said.append("half")

    def loseConnection(self) -> None:
        self.said.append("close")

    def abortConnection(self) -> None:
        self.said.append("abort")


class EndingTests(SynchronousTestCase):
    def begin(self, left: int = 0, patience: float = 30.0) -> None:
        self.clock = Clock()
        self.wire = _Wire()
        self.wire.left = left
        timer = Wheel(self.clock).schedule(10, lambda: self.ending.timed_out())
        self.ending = Ending(self.wire, timer, patience, lambda wire: wire.left)
        self.ending.half_close()

    def spend(self, seconds: int, sending: bool = False) -> None:
        for _ in range(seconds):
            for _ in range(10):
                self.clock.advance(0.1)
            if sending:
                self.ending.data_came()

    def test_silence(self) -> None:
        """A client that has everything and neither speaks nor closes is closed, orderly, within seconds."""
        self.begin()
        self.spend(4)
        self.assertEqual(self.wire.said, ["half"])
        self.spend(8)
        self.assertEqual(self.wire.said, ["half", "close"])

    def test_talk(self) -> None:
        """One that goes on sending is heard out for half a minute, no longer."""
        self.begin()
        self.spend(25, sending=True)
        self.assertEqual(self.wire.said, ["half"])
        self.spend(15, sending=True)
        self.assertEqual(self.wire.said, ["half", "close"])

    def test_slow(self) -> None:
        """One that takes the answer slowly has as long as it takes, and then the time of any other."""
        self.begin(1000)
        for _ in range(100):
            self.spend(6)
            self.wire.left -= 10
        self.assertEqual((self.wire.left, self.wire.said), (0, ["half"]))
        self.spend(20)
        self.assertEqual(self.wire.said, ["half", "close"])

    def test_stuck(self) -> None:
        """One that takes nothing is cut after the time it is given, whatever it sends."""
        self.begin(1000, patience=12.0)
        self.spend(10, sending=True)
        self.assertEqual(self.wire.said, ["half"])
        self.spend(15, sending=True)
        self.assertEqual(self.wire.said, ["half", "abort"])

    def test_its_end(self) -> None:
        """One that closes its half is closed."""
        self.begin(1000)
        self.ending.client_ended()
        self.assertEqual(self.wire.said, ["half", "close"])
