"""Tests of all, any and not."""

from __future__ import annotations

from twisted.trial import unittest
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IMatcher
from balancer.routing.matchers.method import MethodMatcher
from balancer.routing.matchers.nested import AllMatcher, AnyMatcher, NotMatcher
from balancer.routing.matchers.scheme import SchemeMatcher
from tests.routing.making import facts

GET, HTTP = MethodMatcher(frozenset(["GET"])), SchemeMatcher("http")


class NestedTests(unittest.TestCase):
    """Logic."""

    def test_tables(self) -> None:
        """Truth tables of two conditions."""
        for method, scheme in (("GET", "http"), ("GET", "https"), ("PUT", "http"), ("PUT", "https")):
            request = facts(method=method, scheme=scheme)
            one, two = method == "GET", scheme == "http"
            self.assertEqual(AllMatcher((GET, HTTP)).matches(request), one and two)
            self.assertEqual(AnyMatcher((GET, HTTP)).matches(request), one or two)
            self.assertEqual(NotMatcher(GET).matches(request), not one)

    def test_empty(self) -> None:
        """All of nothing holds, any of nothing does not."""
        self.assertTrue(AllMatcher(()).matches(facts()))
        self.assertFalse(AnyMatcher(()).matches(facts()))
        self.assertEqual((AllMatcher(()).describe(), AnyMatcher(()).describe()), ("always", "never"))

    def test_describe(self) -> None:
        """Brackets stand where they are needed."""
        both, either = AllMatcher((GET, HTTP)), AnyMatcher((GET, HTTP))
        self.assertEqual(AnyMatcher((both, HTTP)).describe(), "(method is GET and scheme is http) or scheme is http")
        self.assertEqual(AllMatcher((either, HTTP)).describe(), "(method is GET or scheme is http) and scheme is http")
        self.assertEqual(NotMatcher(either).describe(), "not (method is GET or scheme is http)")
        for matcher in (both, either, NotMatcher(GET)):
            verifyObject(IMatcher, matcher)
