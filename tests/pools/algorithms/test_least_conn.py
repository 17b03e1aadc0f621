"""Tests of least connections."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import Choice, IAlgorithm
from balancer.pools.algorithms.least_conn import LeastConn
from tests.pools.pieces import first, never, order, server, servers, shares


class LeastConnTests(TestCase):
    """The fewest in flight for the weight."""

    def test_contract(self) -> None:
        """It is an algorithm."""
        verifyObject(IAlgorithm, LeastConn())

    def test_fewest(self) -> None:
        """The server with the fewest in flight comes first, the others follow by load."""
        algorithm = LeastConn()
        members = servers("abc")
        for member, active in zip(members, (5, 1, 3), strict=True):
            member.active = active
        algorithm.prepare(members)
        self.assertEqual(order(algorithm), ["b", "c", "a"])

    def test_by_weight(self) -> None:
        """Four on weight 5 is less than one on weight 1."""
        algorithm = LeastConn()
        heavy, light = server("heavy", 5), server("light", 1)
        heavy.active, light.active = 4, 1
        algorithm.prepare([light, heavy])
        self.assertEqual(first(algorithm), "heavy")

    def test_idle_pool_takes_turns(self) -> None:
        """Where all are equally loaded, weights decide in a smooth round."""
        algorithm = LeastConn()
        algorithm.prepare([server("a", 5), server("b"), server("c")])
        self.assertEqual("".join(first(algorithm) for _ in range(7)), "aabacaa")

    def test_turns_only_among_the_tied(self) -> None:
        """A busier server takes no part in the round."""
        algorithm = LeastConn()
        members = servers("abc")
        members[0].active = 1
        algorithm.prepare(members)
        self.assertEqual(shares(algorithm, 10), {"b": 5, "c": 5})

    def test_nobody(self) -> None:
        """Without servers there are no candidates."""
        algorithm = LeastConn()
        algorithm.prepare([])
        self.assertEqual(order(algorithm), [])
        self.assertEqual(repr(algorithm), "<LeastConn over 0>")

    @given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
    def test_in_flight_follows_weights(self, weights: list[int]) -> None:
        """When exchanges last, each server has its share of them, give or take one."""
        algorithm = LeastConn()
        members = servers(weights)
        algorithm.prepare(members)
        for _ in range(5 * sum(weights)):
            next(iter(algorithm.candidates(Choice(None, never, 0.0)))).active += 1
        for member in members:
            self.assertApproximates(member.active, 5 * member.weight, member.weight + 1)

    @given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=8))
    def test_least_comes_first(self, pairs: list[tuple[int, int]]) -> None:
        """Every server is a candidate exactly once, and none is less loaded than the first."""
        algorithm = LeastConn()
        members = servers([weight for weight, _ in pairs])
        for member, (_, active) in zip(members, pairs, strict=True):
            member.active = active
        algorithm.prepare(members)
        found = list(algorithm.candidates(Choice(None, never, 0.0)))
        self.assertCountEqual(found, [member for member in members if member.weight])
        for other in found[1:]:
            self.assertLessEqual(found[0].active * other.weight, other.active * found[0].weight)
