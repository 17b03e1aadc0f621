"""Tests of the power of two choices."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import Choice, IAlgorithm
from balancer.pools.algorithms.p2c import P2C
from tests.pools.pieces import draws, order, server, servers, shares


class P2CTests(TestCase):
    """Two are drawn, the less loaded is taken."""

    def test_contract(self) -> None:
        """It is an algorithm."""
        verifyObject(IAlgorithm, P2C())

    def test_less_loaded_of_two(self) -> None:
        """Of two servers the one with less in flight always wins."""
        algorithm = P2C()
        busy, free = server("busy"), server("free")
        busy.active = 3
        free.active = 2
        algorithm.prepare([busy, free])
        self.assertEqual(shares(algorithm, 50, draw=draws()), {"free": 50})

    def test_busiest_of_many_is_never_first(self) -> None:
        """The most loaded server is always drawn together with a less loaded one."""
        algorithm = P2C()
        members = servers("abcde")
        members[2].active = 1
        algorithm.prepare(members)
        self.assertEqual(set(shares(algorithm, 500, draw=draws())), set("abde"))

    def test_load_counts_by_weight(self) -> None:
        """Four in flight on weight 4 is less than two on weight 1."""
        algorithm = P2C()
        heavy, light = server("heavy", 4), server("light", 1)
        heavy.active, light.active = 4, 2
        algorithm.prepare([heavy, light])
        self.assertEqual(shares(algorithm, 50, draw=draws()), {"heavy": 50})

    def test_nobody(self) -> None:
        """Without servers there are no candidates."""
        algorithm = P2C()
        algorithm.prepare([])
        self.assertEqual(order(algorithm), [])

    def test_one(self) -> None:
        """One server needs no draw."""
        algorithm = P2C()
        algorithm.prepare([server("a")])
        self.assertEqual(order(algorithm), ["a"])

    def test_rest_by_load(self) -> None:
        """After the two that were drawn come the others, the least loaded first."""
        algorithm = P2C()
        members = servers("abcd")
        for active, member in enumerate(members):
            member.active = active
        algorithm.prepare(members)
        names = order(algorithm, draw=iter([0.0, 0.0]).__next__)  # a and b
        self.assertEqual(names, ["a", "b", "c", "d"])

    def test_repr(self) -> None:
        """Operators see how many servers it chooses from."""
        algorithm = P2C()
        algorithm.prepare(servers("abc"))
        self.assertEqual(repr(algorithm), "<P2C over 3>")

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.integers(1, 20), min_size=2, max_size=8), st.integers(0, 2**32))
    def test_shares_on_an_idle_pool(self, weights: list[int], seed: int) -> None:
        """With nothing in flight each server gets its weight's share."""
        algorithm = P2C()
        algorithm.prepare(servers(weights))
        found = shares(algorithm, 4000, draw=draws(seed))
        for index, weight in enumerate(weights):
            self.assertApproximates(found[f"s{index}"] / 4000, weight / sum(weights), 0.05)

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.integers(1, 9), min_size=2, max_size=6), st.integers(0, 2**32))
    def test_in_flight_follows_weights(self, weights: list[int], seed: int) -> None:
        """When exchanges last, what is in flight is spread by weight."""
        algorithm = P2C()
        members = servers(weights)
        algorithm.prepare(members)
        draw = draws(seed)
        for _ in range(60 * sum(weights)):
            next(iter(algorithm.candidates(Choice(None, draw, 0.0)))).active += 1
        for member in members:
            self.assertApproximates(member.active / member.weight, 60, 12)

    @given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=8), st.integers(0, 2**32))
    def test_each_once(self, pairs: list[tuple[int, int]], seed: int) -> None:
        """Every server with a weight is a candidate, exactly once."""
        algorithm = P2C()
        members = servers([weight for weight, _ in pairs])
        for member, (_, active) in zip(members, pairs, strict=True):
            member.active = active
        algorithm.prepare(members)
        self.assertCountEqual(order(algorithm, draw=draws(seed)), [m.name for m in members if m.weight])
