"""Tests of telling outliers by arithmetic."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from balancer.pools.deviation import Deviation, least_value, most_value

VALUES = st.lists(st.floats(0.0, 1.0), min_size=5, max_size=20)


class DeviationTests(TestCase):
    """Mean and standard deviation."""

    def test_one_of_five(self) -> None:
        """One of five that always fails is found with the defaults, as the documentation of Envoy has it."""
        least = least_value([1.0, 1.0, 1.0, 1.0, 0.0], Deviation())
        assert least is not None
        self.assertAlmostEqual(least, 0.8 - 1.9 * 0.4)

    def test_too_few(self) -> None:
        """With fewer servers than wanted, and with one alone, nothing is said."""
        self.assertIsNone(least_value([1.0, 0.0], Deviation(min_servers=3)))
        self.assertIsNone(most_value([1.0], Deviation(min_servers=1)))

    def test_ratio(self) -> None:
        """What differs by little, compared with the mean, is no outlier, however alike the others are."""
        times = [0.010] * 9 + [0.012]
        strict, lenient = most_value(times, Deviation()), most_value(times, Deviation(ratio=2.0))
        assert strict is not None
        assert lenient is not None
        self.assertLess(strict, 0.012)
        self.assertGreater(lenient, 0.012)

    @given(VALUES)
    def test_never_all(self, values: list[float]) -> None:
        """Never are all outliers, nor is any that is no worse than the mean."""
        least, most = least_value(values, Deviation()), most_value(values, Deviation())
        assert least is not None
        assert most is not None
        mean = sum(values) / len(values)
        self.assertTrue(all(value < mean + 1e-9 for value in values if value < least))
        self.assertTrue(all(value > mean - 1e-9 for value in values if value > most))
