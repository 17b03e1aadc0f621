"""Tests of pings of our own: when they are sent, and what becomes of who does not answer."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from balancer.forwarding.ends import TransportEnd
from balancer.forwarding.pings import Pings
from balancer.net.timers import Wheel
from tests.forwarding.tunnels import Line


class PingsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.line = Line()
        self.told: list[str] = []
        self.pings = Pings(
            Wheel(self.clock),
            30.0,
            10.0,
            TransportEnd(self.line),
            lambda: self.told.append("ask"),
            lambda: self.told.append("gone"),
        )

    def spend(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)

    def test_who_speaks_is_not_asked(self) -> None:
        """Only silence is asked about."""
        for _ in range(5):
            self.spend(25)
            self.pings.heard()
        self.assertEqual(self.told, [])
        self.spend(31)
        self.assertEqual(self.told, ["ask"])

    def test_an_answer(self) -> None:
        """Whatever comes is an answer; after it silence counts anew."""
        for _ in range(3):
            self.spend(31)
            self.pings.asked()
            self.spend(9)
            self.pings.heard()
        self.assertEqual(self.told, ["ask"] * 3)

    def test_no_answer(self) -> None:
        """Who stays silent is gone."""
        self.spend(31)
        self.pings.asked()
        self.spend(11)
        self.assertEqual(self.told, ["ask", "gone"])

    def test_a_ping_that_waits(self) -> None:
        """As long as the ping could not be written nobody is asked again, nor blamed."""
        self.spend(200)
        self.assertEqual(self.told, ["ask"])
        self.pings.heard()
        self.pings.asked()
        self.spend(11)
        self.assertEqual(self.told, ["ask", "gone"])

    def test_a_slow_reader(self) -> None:
        """Who has not got to the ping, but goes on taking what was before it, is there."""
        self.line.queued = 1000
        self.spend(31)
        self.pings.asked()
        for _ in range(5):
            self.line.queued -= 100
            self.spend(10.2)
        self.assertEqual(self.told, ["ask"])
        self.spend(11)
        self.assertEqual(self.told, ["ask", "gone"])

    def test_stop(self) -> None:
        """Nothing is asked of what has ended."""
        self.pings.stop()
        self.spend(100)
        self.assertEqual(self.told, [])
