"""Tests of the hash ring."""

from __future__ import annotations

from pydantic import ValidationError
from twisted.trial.unittest import TestCase

from balancer.pools.algorithms.ring_hash import RingHash, RingHashSettings, _ring_of
from tests.pools.algorithms.hashing_promises import Promises
from tests.pools.pieces import servers


class RingHashTests(Promises, TestCase):
    """By points on a ring."""

    tolerance = 0.12
    moved = 0.0
    golden = "ddcbedddceaabeedaddcbdadbeaedeadcabcebed"
    golden_weighted = "cbcbccccbcaaccbcabccbcacbcacabaccccccbcc"

    def make(self) -> RingHash:
        """Return the algorithm."""
        return RingHash()

    def make_even(self) -> RingHash:
        """Return the algorithm with so many points that shares differ little."""
        return RingHash(RingHashSettings(points=4000))

    def test_more_weight_adds_points(self) -> None:
        """When the weight of a server grows, no point moves."""
        before, after = _ring_of((("a", 2), ("b", 1)), 160)[0], _ring_of((("a", 3), ("b", 1)), 160)[0]
        self.assertEqual(len(set(after) - set(before)), 160)
        self.assertLess(set(before), set(after))

    def test_points(self) -> None:
        """The number of points is for each unit of weight."""
        ring, owners = _ring_of((("a", 1), ("b", 3)), 100)
        self.assertEqual((owners.count(0), owners.count(1)), (100, 300))
        self.assertEqual(list(ring), sorted(ring))

    def test_great_weights(self) -> None:
        """Great weights do not make a ring too large to build; each server has at least one point."""
        ring, owners = _ring_of((("a", 1), ("b", 1_000_000)), 160)
        self.assertLessEqual(len(ring), 2**16)
        self.assertGreater(len(ring), 2**15)
        self.assertEqual(owners.count(0), 1)

    def test_settings(self) -> None:
        """There must be a point, and not absurdly many."""
        for wrong in (0, 10_001, "many"):
            with self.assertRaises(ValidationError):
                RingHashSettings.model_validate({"points": wrong})

    def test_end_of_the_ring(self) -> None:
        """What hashes behind the last point belongs to the first."""
        algorithm = self.made(servers("abc"))
        self.assertEqual(next(algorithm._walk(2**64 - 1)), next(algorithm._walk(0)))
