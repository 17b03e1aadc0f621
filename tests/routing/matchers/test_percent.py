"""Tests of :mod:`balancer.routing.matchers.percent`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.address import Peer
from balancer.model.facts import RequestFacts
from balancer.model.keys import Key
from balancer.routing.matchers.percent import PERCENT, PercentMatcher, PercentSettings, percentile


class PercentTests(SynchronousTestCase):
    def test_always_the_same(self) -> None:
        """The draw never changes: those who run other versions, or other nodes, agree."""
        self.assertAlmostEqual(percentile("checkout", b"alice"), 4.98401, 4)
        self.assertAlmostEqual(percentile("", b"alice"), 49.19553, 4)

    def test_shares(self) -> None:
        """Of 100,000 clients as many are in as it says; parts of one draw do not overlap; others are independent of it."""
        places = [percentile("a", b"%d" % number) for number in range(100_000)]
        for below in (1, 10, 50):
            self.assertLess(abs(sum(place < below for place in places) / 1000 - below), 0.5)
        others = [percentile("b", b"%d" % number) for number in range(100_000)]
        both = sum(a < 10 and b < 10 for a, b in zip(places, others, strict=True))
        self.assertLess(abs(both / 1000 - 1), 0.2)

    def test_matches(self) -> None:
        """By the key; without it nobody is in."""
        peer = Peer("192.0.2.1", 1)

        def asks(matcher: PercentMatcher, **cookies: str) -> bool:
            headers = [(b"Cookie", f"{name}={value}".encode()) for name, value in cookies.items()]
            return matcher.matches(RequestFacts("GET", "/", headers, peer, peer))

        first = PercentMatcher(Key("cookie", "user"), 0, 30, "x")
        second = PercentMatcher(Key("cookie", "user"), 30, 100, "x")
        for number in range(200):
            self.assertNotEqual(asks(first, user=f"u{number}"), asks(second, user=f"u{number}"))
        self.assertFalse(asks(first) or asks(second))
        self.assertEqual(first.describe(), "cookie:user is among the first 30 % of 'x'")
        self.assertEqual(second.describe(), "cookie:user is among 30 to 100 % of 'x'")

    def test_settings(self) -> None:
        built = PERCENT.build(PercentSettings.model_validate({"below": 5}))
        self.assertEqual((built.key, built.start, built.end), (Key(), 0, 5))
        for wrong in ({"below": 101}, {"below": -1}, {"from": 20, "below": 10}, {}, {"below": "nan"}):
            with self.assertRaises(ValueError):
                PercentSettings.model_validate(wrong)
