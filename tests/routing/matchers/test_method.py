"""Tests of the condition on the method."""

from __future__ import annotations

from twisted.trial import unittest
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IMatcher
from balancer.routing.matchers.method import MethodMatcher
from tests.routing.making import facts


class MethodMatcherTests(unittest.TestCase):
    """Methods are told apart by case."""

    def test_matches(self) -> None:
        """``get`` is not ``GET``."""
        matcher = MethodMatcher(frozenset(["GET", "POST"]))
        verifyObject(IMatcher, matcher)
        for method, expected in {"GET": True, "POST": True, "get": False, "PUT": False}.items():
            self.assertEqual(matcher.matches(facts(method=method)), expected, method)
        self.assertEqual(matcher.describe(), "method is GET or POST")
