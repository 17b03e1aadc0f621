"""Tests of host patterns."""

from __future__ import annotations

from twisted.trial import unittest
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IMatcher
from balancer.model.patterns import HostPattern
from balancer.routing.matchers.host import HostMatcher, host_matches, host_precedence
from tests.routing.making import facts

_parse = HostPattern.parse


class HostTests(unittest.TestCase):
    """Exact names and wildcards."""

    def test_matches(self) -> None:
        """A wildcard needs one label or more, at a dot."""
        for pattern, host, expected in (
            ("a.example", "a.example", True),
            ("a.example", "b.a.example", False),
            ("*.a.example", "b.a.example", True),
            ("*.a.example", "c.b.a.example", True),
            ("*.a.example", "a.example", False),
            ("*.a.example", ".a.example", False),
            ("*.a.example", "ba.example", False),
            ("[::1]", "::1", True),
        ):
            self.assertEqual(host_matches(_parse(pattern), host), expected, (pattern, host))

    def test_precedence(self) -> None:
        """Exact, long wildcard, short wildcard, none."""
        ranked = [_parse("x.example"), _parse("*.b.a.example"), _parse("*.a.example"), None]
        mixed = ranked[3:] + ranked[:3]
        self.assertEqual(sorted(mixed, key=host_precedence), ranked)

    def test_matcher(self) -> None:
        """As a condition it holds for any of its patterns."""
        matcher = HostMatcher((_parse("a.example"), _parse("*.b.example")))
        verifyObject(IMatcher, matcher)
        self.assertTrue(matcher.matches(facts(host="x.b.example:80")))
        self.assertFalse(matcher.matches(facts(host="b.example")))
        self.assertEqual(matcher.describe(), "host is a.example or *.b.example")
