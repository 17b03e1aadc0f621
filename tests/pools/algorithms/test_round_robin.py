"""Tests of round robin."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IAlgorithm
from balancer.pools.algorithms.round_robin import RoundRobin
from tests.pools.pieces import first, order, server, servers, shares


def turns(algorithm: RoundRobin, count: int) -> str:
    """The first letters of the servers of the next ``count`` turns."""
    return "".join(first(algorithm)[0] for _ in range(count))


class RoundRobinTests(TestCase):
    """Each in turn, evenly spread."""

    def test_contract(self) -> None:
        """It is an algorithm."""
        verifyObject(IAlgorithm, RoundRobin())

    def test_in_turn(self) -> None:
        """Equal servers follow each other in the order of the configuration."""
        algorithm = RoundRobin()
        algorithm.prepare(servers("abc"))
        self.assertEqual(turns(algorithm, 7), "abcabca")

    def test_smooth(self) -> None:
        """A heavy server's turns are spread, not in a row."""
        algorithm = RoundRobin()
        algorithm.prepare([server("a", 5), server("b"), server("c")])
        self.assertNotIn("aaaaa", turns(algorithm, 7))
        self.assertEqual(turns(algorithm, 14).count("a"), 10)

    def test_others_follow(self) -> None:
        """If the first cannot be used, the next in turn is."""
        algorithm = RoundRobin()
        algorithm.prepare(servers("abc"))
        self.assertEqual(order(algorithm), ["a", "b", "c"])
        self.assertEqual(order(algorithm), ["b", "c", "a"])

    def test_keeps_its_place(self) -> None:
        """A change of the servers does not begin the round again."""
        algorithm = RoundRobin()
        members = servers("abcd")
        algorithm.prepare(members)
        self.assertEqual(turns(algorithm, 2), "ab")
        algorithm.prepare(members[:3])
        self.assertEqual(turns(algorithm, 3), "cab")

    def test_repeated_changes_starve_nobody(self) -> None:
        """Even if the servers change before every turn, all get their turn."""
        algorithm = RoundRobin()
        members = servers("abcd")
        found = ""
        for _ in range(12):
            algorithm.prepare(members)
            found += turns(algorithm, 1)
        self.assertEqual(found, "abcdabcdabcd")

    def test_nobody(self) -> None:
        """Without servers there are no candidates."""
        algorithm = RoundRobin()
        algorithm.prepare([])
        self.assertEqual(order(algorithm), [])

    def test_repr(self) -> None:
        """Operators see how many servers it chooses from."""
        algorithm = RoundRobin()
        algorithm.prepare(servers("ab"))
        self.assertEqual(repr(algorithm), "<RoundRobin over 2>")

    @given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(1, 4))
    def test_shares(self, weights: list[int], rounds: int) -> None:
        """Any number of rounds gives each server its share, give or take one turn."""
        algorithm = RoundRobin()
        algorithm.prepare(servers(weights))
        found = shares(algorithm, rounds * sum(weights))
        for index, weight in enumerate(weights):
            self.assertApproximates(found[f"s{index}"], rounds * weight, 1)

    @given(st.lists(st.integers(1, 9), min_size=2, max_size=6))
    def test_never_far_behind(self, weights: list[int]) -> None:
        """At any time each server has had its share, give or take two turns."""
        algorithm = RoundRobin()
        algorithm.prepare(servers(weights))
        had = dict.fromkeys(range(len(weights)), 0)
        for turn in range(1, 3 * sum(weights)):
            had[int(first(algorithm)[1:])] += 1
            for index, weight in enumerate(weights):
                self.assertApproximates(had[index], turn * weight / sum(weights), len(weights) / 2 + 1)

    @given(st.lists(st.integers(0, 5), max_size=6))
    def test_each_once(self, weights: list[int]) -> None:
        """Every server with a weight is a candidate, exactly once."""
        algorithm = RoundRobin()
        algorithm.prepare(servers(weights))
        self.assertCountEqual(order(algorithm), [f"s{index}" for index, weight in enumerate(weights) if weight])
