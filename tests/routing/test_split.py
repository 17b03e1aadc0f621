"""Tests of sharing by weight."""

from __future__ import annotations

import random
from collections import Counter

from twisted.trial import unittest

from balancer.model.keys import Key
from balancer.routing.split import Split
from tests.routing.making import facts


class SplitTests(unittest.TestCase):
    """Weights hold, keys stick."""

    def test_shares_by_chance(self) -> None:
        """An even spread of draws gives exact shares."""
        split = Split({"a": 70, "b": 20, "c": 10, "off": 0})
        shares = Counter(split.choose(facts(), lambda at=n: at / 10_000) for n in range(10_000))  # type: ignore[misc]
        self.assertEqual(shares, {"a": 7000, "b": 2000, "c": 1000})

    def test_the_highest_draw(self) -> None:
        """A draw just under 1 is the last pool's."""
        self.assertEqual(Split({"a": 0.1, "b": 0.2}).choose(facts(), lambda: 1 - 2**-53), "b")

    def test_shares_of_sticky_clients(self) -> None:
        """Over 100,000 clients every share is within 1 % of all."""
        split = Split({"a": 60, "b": 30, "c": 10}, Key("client_ip"))
        shares = Counter(split.sticky(b"10.%d.%d.%d" % (n >> 16, n >> 8 & 255, n & 255)) for n in range(100_000))
        for name, share in {"a": 0.6, "b": 0.3, "c": 0.1}.items():
            self.assertApproximates(shares[name] / 100_000, share, 0.01)

    def test_sticks_on_every_node(self) -> None:
        """The choice is the same whatever the order in the file, and known values stay as they are."""
        one, other = Split({"a": 90, "b": 10}), Split({"b": 10, "a": 90})
        keys = [b"user-%d" % n for n in range(200)]
        self.assertEqual([one.sticky(key) for key in keys], [other.sticky(key) for key in keys])
        self.assertEqual([n for n in range(60) if one.sticky(b"user-%d" % n) == "b"], KNOWN)

    def test_a_growing_weight_only_draws_in(self) -> None:
        """When a weight grows, keys move to that pool and nowhere else."""
        before, after = Split({"a": 90, "b": 10, "c": 20}), Split({"a": 90, "b": 30, "c": 20})
        for n in range(2000):
            key = random.Random(n).randbytes(8)
            if before.sticky(key) != after.sticky(key):
                self.assertEqual(after.sticky(key), "b")

    def test_without_the_key_chance_decides(self) -> None:
        """A client without the cookie is shared by chance."""
        split = Split({"a": 1, "b": 1}, Key("cookie", "uid"))
        self.assertEqual([split.choose(facts(), lambda: 0.1), split.choose(facts(), lambda: 0.9)], ["a", "b"])
        with_cookie = facts(headers=(("Cookie", "uid=7"),))
        self.assertEqual(split.choose(with_cookie, lambda: 0.1), split.choose(with_cookie, lambda: 0.9))

    def test_refuses(self) -> None:
        """Nothing to share between is an error."""
        for weights in ({}, {"a": 0}, {"a": -1, "b": 2}):
            self.assertRaises(ValueError, Split, weights)

    def test_repr(self) -> None:
        """Shares and key are shown."""
        self.assertEqual(repr(Split({"a": 90, "b": 10}, Key("cookie", "uid"))), "<Split a: 90, b: 10 by cookie:uid>")


KNOWN = [0, 2, 8, 20, 22, 45]
"""Which of the first 60 users a 10 % share gets: computed once, the same for ever."""
