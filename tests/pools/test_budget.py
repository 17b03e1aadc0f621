"""Tests of budgets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from balancer.pools.budget import Budget


class BudgetTests(TestCase):
    def test_minimum(self) -> None:
        """So many are always allowed in ten seconds."""
        clock = Clock()
        budget = Budget(clock.seconds)
        for _ in range(3):
            self.assertEqual(sum(budget.take(0.2, 10) for _ in range(100)), 10)
            clock.advance(10)

    @given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200), st.floats(0.1, 30.0)), max_size=30))
    def test_share(self, steps: list[tuple[int, int, float]]) -> None:
        """However requests and failures come, no more is spent than the share of them, and the few that are always allowed."""
        clock = Clock()
        budget = Budget(clock.seconds)
        requests = spent = 0
        for came, failed, seconds in steps:
            requests += came
            budget.requests += came
            spent += sum(budget.take(0.2, 0) for _ in range(failed))
            self.assertLessEqual(spent, 0.2 * requests + 1 + 0.2 * len(steps))
            clock.advance(seconds)

    def test_repr(self) -> None:
        """Operators see both numbers."""
        budget = Budget(Clock().seconds)
        budget.requests += 5
        budget.take(1.0, 0)
        self.assertEqual(repr(budget), "<Budget 1 spent on 5 requests>")
