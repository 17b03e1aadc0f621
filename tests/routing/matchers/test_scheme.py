"""Tests of the condition on the scheme."""

from __future__ import annotations

from twisted.trial import unittest
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IMatcher
from balancer.routing.matchers.scheme import SchemeMatcher
from tests.routing.making import facts


class SchemeMatcherTests(unittest.TestCase):
    """http or https."""

    def test_matches(self) -> None:
        """The scheme by which the client came."""
        matcher = SchemeMatcher("https")
        verifyObject(IMatcher, matcher)
        self.assertTrue(matcher.matches(facts(scheme="https")))
        self.assertFalse(matcher.matches(facts(scheme="http")))
        self.assertEqual(matcher.describe(), "scheme is https")
