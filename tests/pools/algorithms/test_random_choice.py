"""Tests of the random choice."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IAlgorithm
from balancer.pools.algorithms.random_choice import RandomChoice
from tests.pools.pieces import draws, order, servers, shares


class RandomChoiceTests(TestCase):
    """Drawn by weight."""

    def test_contract(self) -> None:
        """It is an algorithm."""
        verifyObject(IAlgorithm, RandomChoice())

    def test_load_does_not_matter(self) -> None:
        """What is in flight has no influence."""
        algorithm = RandomChoice()
        members = servers("ab")
        algorithm.prepare(members)
        before = shares(algorithm, 300, draw=draws())
        members[0].active = 100
        self.assertEqual(shares(algorithm, 300, draw=draws()), before)

    def test_extremes_of_the_draw(self) -> None:
        """The least and the greatest draw lead to the first and the last server."""
        algorithm = RandomChoice()
        algorithm.prepare(servers("abc"))
        self.assertEqual(order(algorithm, draw=lambda: 0.0)[0], "a")
        self.assertEqual(order(algorithm, draw=lambda: 1.0 - 2**-53)[0], "c")

    def test_nobody(self) -> None:
        """Without servers there are no candidates."""
        algorithm = RandomChoice()
        algorithm.prepare([])
        self.assertEqual(order(algorithm), [])
        self.assertEqual(repr(algorithm), "<RandomChoice over 0>")

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.integers(1, 20), min_size=2, max_size=8), st.integers(0, 2**32))
    def test_shares(self, weights: list[int], seed: int) -> None:
        """Each server gets its weight's share."""
        algorithm = RandomChoice()
        algorithm.prepare(servers(weights))
        found = shares(algorithm, 4000, draw=draws(seed))
        for index, weight in enumerate(weights):
            self.assertApproximates(found[f"s{index}"] / 4000, weight / sum(weights), 0.05)

    @given(st.lists(st.integers(0, 5), max_size=8), st.integers(0, 2**32))
    def test_each_once(self, weights: list[int], seed: int) -> None:
        """Every server with a weight is a candidate, exactly once."""
        algorithm = RandomChoice()
        algorithm.prepare(servers(weights))
        expected = [f"s{index}" for index, weight in enumerate(weights) if weight]
        self.assertCountEqual(order(algorithm, draw=draws(seed)), expected)
