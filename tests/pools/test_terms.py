"""Tests of the terms of exchanges."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from balancer.pools.retry import RetryPolicy, RetrySettings
from balancer.pools.terms import Terms
from balancer.pools.timeouts import PoolTimeouts


class TermsTests(TestCase):
    def setUp(self) -> None:
        clock = Clock()
        retry = RetryPolicy(RetrySettings(attempts=0), clock.seconds)
        self.terms = Terms(PoolTimeouts(), retry, clock.callLater, said={"retry.attempts": "route"})

    def test_limited(self) -> None:
        """Only what limits the whole exchange, or an attempt, asks for a clock of its own."""
        self.assertFalse(self.terms.limited)
        for limit in ("request", "per_try"):
            self.assertTrue(replace(self.terms, timeouts=PoolTimeouts(**{limit: 1.0})).limited)

    def test_describe(self) -> None:
        """Each value with where it comes from."""
        found = self.terms.describe()
        self.assertEqual(found["timeouts.connect"], {"value": 3.0, "from": "default"})
        self.assertEqual(found["timeouts.request"], {"value": None, "from": "default"})
        self.assertEqual(found["retry.attempts"], {"value": 0, "from": "route"})
        self.assertNotIn("retry.on", found)
