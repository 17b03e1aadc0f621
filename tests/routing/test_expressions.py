"""Tests of sorting regular expressions by what they begin with."""

from __future__ import annotations

import re2
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial import unittest

from balancer.routing.bucket import Entry
from balancer.routing.expressions import ExpressionIndex, literal_segments
from balancer.routing.matchers.path import compile_regex
from balancer.routing.table import RouteTable
from tests.routing.making import facts, route


class LiteralTests(unittest.TestCase):
    """The segments that every matching path begins with."""

    def test_beginnings(self) -> None:
        """Whole literal segments after ``^``, up to the first thing that is not certain."""
        for expression, segments in {
            r"^/api/v1/[0-9]+": ("api", "v1"),
            r"^/api/v[0-9]+/x": ("api",),
            r"^/a\.b/c\-d/": ("a.b", "c-d"),
            r"^/api/x?": ("api",),
            r"^/api/x*/y": ("api",),
            r"^/api/?x": (),
            r"^/api/+x": ("api",),
            r"^/api/(a|b)/": ("api",),
            r"^/api/[|]/": ("api",),
            r"^/api/\d/": ("api",),
            r"^/api/a|b": (),
            r"^/api/[]|]|b": (),
            r"/api/": (),
            r"^api/": (),
            r"(?i)^/api/x": (),
            r"^/\Qa|b\E/": (),
            r"^/api": (),
        }.items():
            self.assertEqual(literal_segments(expression), segments, expression)

    @given(st.text("^/ab.|*?+()[]\\d{2}$", max_size=12), st.text("ab/d2|", max_size=10))
    @settings(max_examples=1000, deadline=None)
    def test_certain(self, tail: str, path: str) -> None:
        """Whatever path an expression matches begins with those segments."""
        try:
            found = compile_regex("^/a" + tail).search(f"/a{path}") is not None
        except re2.error:
            return
        if found:
            segments = literal_segments("^/a" + tail)
            self.assertTrue(f"/a{path}".startswith("".join(f"/{part}" for part in segments) + "/") or not segments)


class ExpressionIndexTests(unittest.TestCase):
    """Expressions are tried only where they can match, in order of rank."""

    def index(self, *expressions: str) -> ExpressionIndex:
        table = RouteTable([route(text, n, path=f"~{text}") for n, text in enumerate(expressions)])
        return ExpressionIndex(table.entries)

    def test_offers(self) -> None:
        """Expressions with another beginning are not offered."""
        index = self.index("^/a/b/c", "x", "^/a/[0-9]", "^/b/")

        def offered(path: str) -> list[str]:
            return [entry.route.name for bucket in index.buckets(path) for entry in bucket.entries]

        self.assertEqual(offered("/a/b/c"), ["x", "^/a/[0-9]", "^/a/b/c"])
        self.assertEqual(offered("/a"), ["x", "^/a/[0-9]"])
        self.assertEqual(offered("/"), ["x"])

    def test_best_rank_wins(self) -> None:
        """The first in the order of precedence wins, wherever it is kept."""
        index = self.index("^/a/b/", "b", "^/a/")

        def name(entry: Entry | None) -> str:
            return "" if entry is None else entry.route.name

        self.assertEqual(name(index.first(facts("/a/b/c"), "/a/b/c")), "^/a/b/")
        self.assertEqual(name(index.first(facts("/a/b"), "/a/b")), "b")
        self.assertEqual(name(index.first(facts("/a/c"), "/a/c")), "^/a/")
        self.assertEqual(name(index.first(facts("/c"), "/c")), "")
