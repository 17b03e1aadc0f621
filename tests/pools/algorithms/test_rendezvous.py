"""Tests of rendezvous hashing."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from balancer.pools.algorithms.rendezvous import Rendezvous
from tests.pools.algorithms.hashing_promises import Promises
from tests.pools.pieces import first, keys, server


class RendezvousTests(Promises, TestCase):
    """By the highest random weight: no key moves that need not."""

    tolerance = 0.04
    golden = "cbecebbbdcedecdcddacbdaaabdebddddbddbadc"
    golden_weighted = "cbccccbcccbcbcccbaccbcaaabccbccbcbccbccc"

    def make(self) -> Rendezvous:
        """Return the algorithm."""
        return Rendezvous()

    def test_more_weight_only_gains(self) -> None:
        """A server whose weight grows takes keys from others, and no other keys move."""
        before = self.made([server("a", 1), server("b", 2), server("c", 3)])
        after = self.made([server("a", 2), server("b", 2), server("c", 3)])
        moves = {(first(before, key), first(after, key)) for key in keys(1000)}
        self.assertEqual({pair for pair in moves if pair[0] != pair[1]}, {("b", "a"), ("c", "a")})
