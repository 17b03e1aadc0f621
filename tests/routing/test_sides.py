"""Tests of what a request says about its side."""

from __future__ import annotations

from twisted.trial import unittest

from balancer.routing.sides import Override, SideCookie
from tests.routing.making import facts


class SideCookieTests(unittest.TestCase):
    """Signed, and the same everywhere."""

    def cookie(self, secret: bytes = b"secret", name: str = "side") -> SideCookie:
        return SideCookie(secret, name, ("a", "b"), "Path=/; HttpOnly")

    def test_round_trip(self) -> None:
        """What was set is understood, by whoever has the secret."""
        ((_, field),) = self.cookie().response_headers(facts(), "b")
        self.assertTrue(field.endswith(b"; Path=/; HttpOnly"))
        back = facts(headers=(("Cookie", field.partition(b";")[0].decode()),))
        self.assertEqual(self.cookie().pool_of(back), "b")
        for other in (self.cookie(b"other"), self.cookie(name="edis")):
            self.assertIsNone(other.pool_of(back))

    def test_nothing_is_revealed_or_believed(self) -> None:
        """The pool's name is not in the cookie, and is none."""
        ((_, field),) = self.cookie().response_headers(facts(), "b")
        self.assertNotIn(b"=b;", field)
        for value in ("b", "", "x" * 22):
            self.assertIsNone(self.cookie().pool_of(facts(headers=(("Cookie", f"side={value}"),))))


class OverrideTests(unittest.TestCase):
    """The request names its pool."""

    def test_header_before_cookie(self) -> None:
        """Both may be there."""
        both = facts(headers=(("X-Version", "a"), ("Cookie", "version=b")))
        pools = {"a": 1, "b": 1}
        self.assertEqual(Override("x-version", "version").pool_of(both, pools), ("a", "header x-version"))
        self.assertEqual(Override(None, "version").pool_of(both, pools), ("b", "cookie version"))
        self.assertIsNone(Override("x-version", "version").pool_of(facts(), pools))
