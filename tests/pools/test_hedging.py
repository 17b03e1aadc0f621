"""Tests of when second attempts are made."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from balancer.pools.hedging import Hedging, HedgingSettings


class HedgingTests(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def test_fixed(self) -> None:
        """A time that is given is the time, whatever servers take."""
        hedging = Hedging(HedgingSettings(0.2), self.clock.seconds)
        for _ in range(100):
            hedging.note(5.0)
        self.assertEqual(hedging.wait, 0.2)

    def test_quantile(self) -> None:
        """The time in which so many of the latest were answered; none before some were."""
        hedging = Hedging(HedgingSettings(quantile=0.9), self.clock.seconds)
        self.assertIsNone(hedging.wait)
        for _ in range(10):
            for number in range(100):
                hedging.note(number / 100)
        assert hedging.wait is not None
        self.assertTrue(0.85 < hedging.wait < 0.95, hedging.wait)
        for _ in range(1000):
            hedging.note(0.0)
        self.assertEqual(hedging.wait, 0.001)

    def test_budget(self) -> None:
        """No more than the share of the requests, and no minimum."""
        hedging = Hedging(HedgingSettings(0.2, budget=0.05), self.clock.seconds)
        self.assertFalse(hedging.allow())
        hedging.budget.requests += 200
        self.assertEqual(sum(hedging.allow() for _ in range(100)), 10)
        self.assertEqual((hedging.hedges, hedging.refused), (10, 91))

    def test_words(self) -> None:
        """Operators see when, and how many."""
        hedging = Hedging(HedgingSettings(), self.clock.seconds)
        self.assertEqual(repr(hedging), "<Hedging after not known yet: 0 hedges, 0 over budget>")
        self.assertEqual(hedging.settings.describe(), {"after": "p95", "budget": 0.05})
        self.assertEqual(HedgingSettings(0.2).describe()["after"], 0.2)
