"""Tests for :mod:`balancer.filters.percent`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.filters.percent import Percent
from balancer.model.keys import Key
from tests.routing.making import facts


def _never() -> float:
    raise AssertionError("nothing is left to chance here")


class PercentTests(SynchronousTestCase):
    """Who belongs to a share."""

    def test_chance(self) -> None:
        """Without a key chance decides, and so it does for who has none."""
        for share in (Percent(10), Percent(10, Key("header", "X-User"))):
            self.assertTrue(share.takes(facts("/"), lambda: 0.099))
            self.assertFalse(share.takes(facts("/"), lambda: 0.1))

    def test_everybody(self) -> None:
        """All of them are 100 %, whatever is drawn."""
        self.assertTrue(Percent(100).takes(facts("/"), _never))

    def test_key(self) -> None:
        """The same client is always on the same side, of another seed's maybe not; shares are as large as they say, and grow."""
        users = [facts("/", headers=(("X-User", f"user{number}"),)) for number in range(20_000)]
        key = Key("header", "X-User")
        tenth = {at for at, user in enumerate(users) if Percent(10, key).takes(user, _never)}
        again = {at for at, user in enumerate(users) if Percent(10, key).takes(user, _never)}
        fifth = {at for at, user in enumerate(users) if Percent(20, key).takes(user, _never)}
        other = {at for at, user in enumerate(users) if Percent(10, key, "other").takes(user, _never)}
        self.assertEqual(tenth, again)
        self.assertLess(tenth, fifth)
        self.assertNotEqual(tenth, other)
        self.assertLess(abs(len(tenth) / len(users) - 0.1), 0.01)

    def test_words(self) -> None:
        """It says what it is."""
        self.assertEqual(str(Percent(0.5)), "0.5 %")
        self.assertEqual(repr(Percent(10, Key("cookie", "uid"))), "<Percent 10 % by cookie:uid>")
