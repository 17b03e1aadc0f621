"""Tests for :mod:`balancer.config.concurrency`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.concurrency import Concurrency
from balancer.pools.concurrency import ConcurrencySettings
from tests.config.samples import pool_problems


class ConcurrencyTests(SynchronousTestCase):
    """Adaptive limits as written."""

    def test_defaults(self) -> None:
        """The defaults are those of the pools."""
        self.assertEqual(ConcurrencySettings(**dict(Concurrency())), ConcurrencySettings())

    def test_problems(self) -> None:
        """Bounds that contradict each other are refused."""
        for value in ("{minimum: 30}", "{maximum: 10}", "{tolerance: 0.5}", "{smoothing: 0}"):
            self.assertTrue(pool_problems(f"concurrency: {value}"), value)
