"""Tests of the looking at canaries."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial import unittest

from balancer.service.canary_watch import CanaryWatch


class CanaryWatchTests(unittest.TestCase):
    """Now and then."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.looked: list[Any] = []
        self.watch = CanaryWatch(self.clock, self.looked.append)

    def test_when(self) -> None:
        """Four times in a step, at least every five seconds; not without canaries."""
        self.watch.gather = lambda: [1]
        self.clock.advance(60)
        self.watch.watch(4.0)
        self.clock.pump([1.0] * 3)
        self.assertEqual(self.looked, [[1]] * 3)
        self.watch.watch(3600.0)
        self.clock.pump([1.0] * 5)
        self.assertEqual(len(self.looked), 4)
        self.watch.watch(None)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_waits_for_answers(self) -> None:
        """It does not ask again before all have answered; what fails is told, and does not end it."""
        asked: list[Deferred[Any]] = []

        def gather() -> Deferred[Any]:
            asked.append(Deferred())
            return asked[-1]

        self.watch.gather = gather
        self.watch.watch(4.0)
        self.clock.pump([1.0] * 3)
        self.assertEqual(len(asked), 1)
        asked[0].errback(RuntimeError("gone"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.clock.pump([1.0] * 2)
        asked[1].callback([7])
        self.assertEqual(self.looked, [[7]])
        self.watch.watch(None)
