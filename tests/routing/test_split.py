"""Tests of sharing by weight."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter

from twisted.trial import unittest

from balancer.model.keys import Key
from balancer.model.patterns import parse_network
from balancer.routing.matchers.client import Networks
from balancer.routing.sides import Override, SideCookie
from balancer.routing.split import Split
from tests.routing.making import facts


def _never() -> float:
    raise AssertionError("chance was asked")


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

    def test_an_override_goes_first(self) -> None:
        """A request that names a pool of the split gets it, even one that nobody else gets; other values say nothing."""
        split = Split({"a": 1, "b": 0}, Key("cookie", "uid"), override=Override("x-version", "version"))
        asked = facts(headers=(("X-Version", "b"), ("Cookie", "version=a")))
        self.assertEqual((split.choose(asked, _never), split.why(asked)), ("b", "overridden by header x-version"))
        by_cookie = facts(headers=(("X-Version", "c"), ("Cookie", "version=b")))
        self.assertEqual(split.why(by_cookie), "overridden by cookie version")
        self.assertEqual(split.choose(facts(headers=(("X-Version", "c"),)), lambda: 0.5), "a")

    def test_only_some_may_choose(self) -> None:
        """With networks, the others' wishes are passed over."""
        allowed = Networks((parse_network("10.0.0.0/8"),))
        split = Split({"a": 1, "b": 0}, override=Override("x-version", None, allowed))
        inside, outside = (facts(headers=(("X-Version", "b"),), client=ip) for ip in ("10.1.2.3", "192.0.2.1"))
        self.assertEqual([split.choose(each, lambda: 0.5) for each in (inside, outside)], ["b", "a"])
        self.assertEqual(split.why(outside), "by chance")

    def test_a_cookie_keeps_the_side(self) -> None:
        """Whatever becomes of the weights, while the side has any; then the client is shared anew."""
        side = SideCookie(b"secret", "side", ("a", "b"), "Path=/")
        split = Split({"a": 90, "b": 10}, side=side)
        ((name, value),) = split.kept(facts(), "b")
        self.assertEqual(name, b"Set-Cookie")
        back = facts(headers=(("Cookie", value.split(b";")[0].decode()),))
        self.assertEqual((split.choose(back, _never), split.why(back)), ("b", "kept by cookie side"))
        self.assertEqual(split.kept(back, "b"), ())
        split.use({"a": 99.9, "b": 0.1})
        self.assertEqual(split.choose(back, _never), "b")
        split.use({"a": 100, "b": 0}, "set by an operator")
        self.assertEqual((split.choose(back, lambda: 0.5), split.why(back)), ("a", "by chance"))
        self.assertIn(b"side=", split.kept(back, "a")[0][1])

    def test_who_chose_is_not_kept(self) -> None:
        """A request that names its pool gets no cookie: it is a visit."""
        side = SideCookie(b"secret", "side", ("a", "b"), "Path=/")
        split = Split({"a": 1, "b": 1}, side=side, override=Override("x-version"))
        self.assertEqual(split.kept(facts(headers=(("X-Version", "b"),)), "b"), ())

    def test_other_processes_agree(self) -> None:
        """Another process, with another seed for its hashes, puts the same clients on the same sides, and reads the same cookies."""
        code = (
            "from balancer.routing.split import Split; from balancer.routing.sides import SideCookie;"
            "s = Split({'b': 12.5, 'a': 87.5});"
            "print(''.join(s.sticky(b'user-%d' % n) for n in range(2000)), SideCookie(b's', 'side', ['a'], '')._tokens['a'])"
        )
        split = Split({"a": 87.5, "b": 12.5})
        ours = "".join(split.sticky(b"user-%d" % n) for n in range(2000))
        token = SideCookie(b"s", "side", ["a"], "")._tokens["a"]
        for seed in ("1", "2"):
            run = subprocess.run(
                [sys.executable, "-c", code],
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "PYTHONHASHSEED": seed},
            )
            self.assertEqual(run.stdout.split(), [ours, token])

    def test_weights_change_in_use(self) -> None:
        """New weights count from the next request on; bad ones change nothing."""
        split = Split({"blue": 1, "green": 0})
        self.assertEqual(split.choose(facts(), lambda: 0.99), "blue")
        split.use({"blue": 0, "green": 100}, "set by an operator")
        self.assertEqual(split.choose(facts(), lambda: 0.0), "green")
        self.assertEqual(split.shares, {"blue": 0.0, "green": 100.0})
        self.assertRaises(ValueError, split.use, {"blue": 0, "green": 0})
        self.assertEqual(repr(split), "<Split blue: 0, green: 100 (set by an operator)>")

    def test_refuses(self) -> None:
        """Nothing to share between is an error."""
        for weights in ({}, {"a": 0}, {"a": -1, "b": 2}):
            self.assertRaises(ValueError, Split, weights)

    def test_repr(self) -> None:
        """Shares and key are shown."""
        self.assertEqual(repr(Split({"a": 90, "b": 10}, Key("cookie", "uid"))), "<Split a: 90, b: 10 by cookie:uid>")


KNOWN = [0, 2, 8, 20, 22, 45]
"""Which of the first 60 users a 10 % share gets: computed once, the same for ever."""
