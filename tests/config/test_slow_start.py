"""Tests for :mod:`balancer.config.slow_start`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.slow_start import SlowStart
from balancer.pools.slow_start import SlowStartSettings
from tests.config.samples import pool_problems


class SlowStartTests(SynchronousTestCase):
    """Slow start as written."""

    def test_forms(self) -> None:
        """A duration alone is the window; the defaults are those of the pools."""
        self.assertEqual(SlowStart.model_validate("1m").window, 60.0)
        self.assertEqual(SlowStartSettings(**dict(SlowStart())), SlowStartSettings())

    def test_problems(self) -> None:
        """What is no duration, or no curve, is refused."""
        self.assertTrue(pool_problems("slow_start: soon"))
        self.assertTrue(pool_problems("slow_start: {aggression: 0}"))
