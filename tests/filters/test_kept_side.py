"""Tests of the filter that tells clients their side."""

from __future__ import annotations

from twisted.trial import unittest

from balancer.filters.kept_side import KeptSide
from balancer.model.exchange import Exchange
from balancer.routing.sides import SideCookie
from balancer.routing.split import Split
from tests.routing.making import facts


class KeptSideTests(unittest.TestCase):
    """A cookie in the answer."""

    def test_sets_the_cookie(self) -> None:
        """Once: who brings it is not told again."""
        split = Split({"a": 1, "b": 1}, side=SideCookie(b"secret", "side", ("a", "b"), "Path=/"))
        kept = KeptSide("side", split.kept)
        exchange = Exchange(facts(), [])
        exchange.pool = "a"
        self.assertEqual(kept.describe(exchange), "keeps the client at a by the cookie side")
        kept.response(exchange)
        ((name, value),) = exchange.response_headers
        self.assertEqual((name, value[:5]), (b"Set-Cookie", b"side="))
        again = Exchange(facts(headers=(("Cookie", value.partition(b";")[0].decode()),)), [])
        again.pool = "a"
        kept.response(again)
        self.assertEqual((again.response_headers, kept.describe(again)), ([], "sets no cookie side"))
