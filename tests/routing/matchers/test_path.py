"""Tests of path patterns."""

from __future__ import annotations

from twisted.trial import unittest
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IMatcher
from balancer.model.patterns import PathPattern
from balancer.routing.matchers.path import CompiledPath, PathMatcher, path_precedence
from tests.routing.making import facts


def compiled(text: str) -> CompiledPath:
    return CompiledPath(PathPattern.regex(text[1:]) if text.startswith("~") else PathPattern.parse(text))


class CompiledPathTests(unittest.TestCase):
    """Matching, captures, and what lies below."""

    def test_matches(self) -> None:
        """Each kind matches what it is said to."""
        for pattern, yes, no in (
            ("/a", ["/a"], ["/a/", "/ab", "/"]),
            ("/a/", ["/a/"], ["/a"]),
            ("/a/**", ["/a", "/a/", "/a/b/c"], ["/ab", "/", "/b/a"]),
            ("/**", ["/", "/a", "*"], []),
            ("/u/{id}", ["/u/1", "/u/a b"], ["/u/", "/u", "/u/1/", "/u/1/2"]),
            ("/u/{id}/**", ["/u/1", "/u/1/", "/u/1/2"], ["/u", "/u/", "/v/1"]),
            ("/{a}/x/", ["/1/x/"], ["/1/x", "//x/"]),
            ("~^/v[0-9]+/", ["/v1/", "/v22/x"], ["/v/", "/x/v1/"]),
            ("~v1", ["/xv1y"], ["/V1"]),
        ):
            for path in yes:
                self.assertTrue(compiled(pattern).matches(path), (pattern, path))
            for path in no:
                self.assertFalse(compiled(pattern).matches(path), (pattern, path))

    def test_captures(self) -> None:
        """Variables and named groups, decoded; others capture nothing."""
        self.assertEqual(compiled("/u/{id}/{x}/**").captures("/u/1/é/z"), {"id": "1", "x": "é"})
        self.assertEqual(compiled("~/(?P<y>[0-9]+)(?P<z>b)?").captures("/a/12"), {"y": "12", "z": ""})
        self.assertEqual(compiled("~/([0-9]+)").captures("/1"), {})
        self.assertEqual(compiled("/a").captures("/a"), {})
        self.assertEqual(compiled("~/(?P<y>.)").names, ("y",))

    def test_odd_bytes(self) -> None:
        """A dot is a character of UTF-8, and a byte that is none stays outside."""
        self.assertFalse(compiled("~^/.$").matches("/\udcff"))
        self.assertTrue(compiled("~^/.$").matches("/é"))
        self.assertEqual(compiled("~^/(?P<x>.)").captures("/é\udcff"), {"x": "é"})

    def test_rest(self) -> None:
        """What lies below an open pattern, without the slash."""
        for pattern, path, rest in (
            ("/a/**", "/a", ""),
            ("/a/**", "/a/", ""),
            ("/a/**", "/a/b/c/", "b/c/"),
            ("/**", "/b/c", "b/c"),
            ("/u/{id}/**", "/u/1/x", "x"),
            ("/u/{id}", "/u/1", ""),
            ("~a", "/a/b", ""),
        ):
            self.assertEqual(compiled(pattern).rest(path), rest, (pattern, path))

    def test_length(self) -> None:
        """The segments a pattern takes."""
        self.assertEqual([compiled(p).length for p in ("/**", "/a/b", "/a/**", "~a")], [0, 2, 1, None])

    def test_precedence(self) -> None:
        """Exact, template, longest prefix, regex, none; literal segments before variables."""
        ranked = ["/a", "/a/{x}", "/{x}/a", "/a/b/**", "/a/{x}/**", "/a/**", "/{x}/**", "/**", "~a", None]
        patterns = [None if text is None else compiled(text).pattern for text in ranked]
        mixed = patterns[3:] + patterns[:3]
        self.assertEqual(sorted(mixed, key=path_precedence), patterns)

    def test_matcher(self) -> None:
        """As a condition it holds for any of its patterns, and equals another of the same patterns."""
        matcher = PathMatcher((PathPattern.parse("/a/**"), PathPattern.regex("x$")))
        verifyObject(IMatcher, matcher)
        self.assertTrue(matcher.matches(facts("/a/1?q")))
        self.assertTrue(matcher.matches(facts("/b/x")))
        self.assertFalse(matcher.matches(facts("/b")))
        self.assertEqual(matcher.describe(), "path is /a/** or ~x$")
        self.assertEqual(matcher, PathMatcher((PathPattern.parse("/a/**"), PathPattern.regex("x$"))))

    def test_repr(self) -> None:
        """The pattern is shown."""
        self.assertEqual(repr(compiled("/a/**")), "<CompiledPath /a/**>")
