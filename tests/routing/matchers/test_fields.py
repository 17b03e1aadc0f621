"""Tests of conditions on headers, query parameters and cookies."""

from __future__ import annotations

from typing import Any

from twisted.trial import unittest
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IMatcher
from balancer.hooks.settings import StringMatch
from balancer.routing.matchers.fields import FieldKind, FieldMatcher
from tests.routing.making import facts


def matcher(kind: FieldKind, name: str, match: Any) -> FieldMatcher:
    return FieldMatcher(kind, name, StringMatch.model_validate(match))


class FieldMatcherTests(unittest.TestCase):
    """Any value of a repeated field will do."""

    def test_headers(self) -> None:
        """Names ignore case, values do not; any of several fields counts."""
        request = facts(headers=(("X-Team", "a"), ("x-team", "b")))
        for match, expected in (("a", True), ("b", True), ("A", False), ({"prefix": "b"}, True), ("a, b", False)):
            self.assertEqual(matcher("header", "X-TEAM", match).matches(request), expected, match)

    def test_regex(self) -> None:
        """An expression is found anywhere in a value."""
        phone = matcher("header", "User-Agent", {"regex": "iPhone|Android"})
        self.assertTrue(phone.matches(facts(headers=(("User-Agent", "Mozilla (iPhone; x)"),))))
        self.assertFalse(phone.matches(facts(headers=(("User-Agent", "curl"),))))
        self.assertFalse(phone.matches(facts()))

    def test_present(self) -> None:
        """``present`` asks whether there is a value at all."""
        there, absent = matcher("query", "q", {"present": True}), matcher("query", "q", {"present": False})
        for target, expected in (("/?q=1", True), ("/?q", True), ("/?p=1", False), ("/", False)):
            self.assertEqual(there.matches(facts(target)), expected, target)
            self.assertEqual(absent.matches(facts(target)), not expected, target)

    def test_query(self) -> None:
        """Parameters are decoded; any of several counts; an empty value is a value."""
        self.assertTrue(matcher("query", "a b", "c+d").matches(facts("/?a+b=x&a%20b=c%2Bd")))
        self.assertTrue(matcher("query", "q", "").matches(facts("/?q")))
        self.assertFalse(matcher("query", "q", "").matches(facts("/")))

    def test_cookies(self) -> None:
        """Cookies by name, case kept; the first of a name counts."""
        request = facts(headers=(("Cookie", "a=1; b=2"), ("Cookie", "a=3")))
        for name, match, expected in (("a", "1", True), ("a", "3", False), ("b", "2", True), ("A", "1", False)):
            self.assertEqual(matcher("cookie", name, match).matches(request), expected, (name, match))

    def test_describe(self) -> None:
        """Kind, name and condition in words."""
        self.assertEqual(matcher("header", "X-A", "1").describe(), "header x-a is '1'")
        self.assertEqual(matcher("cookie", "plan", {"prefix": "pro"}).describe(), "cookie plan: prefix 'pro'")

    def test_is_a_value(self) -> None:
        """Equal conditions are equal, whatever case the header was written in."""
        self.assertEqual(matcher("header", "X-A", "1"), matcher("header", "x-a", {"exact": "1"}))
        self.assertEqual(len({matcher("query", "q", "1"), matcher("query", "q", "1"), matcher("query", "q", "2")}), 2)
        verifyObject(IMatcher, matcher("query", "q", "1"))
