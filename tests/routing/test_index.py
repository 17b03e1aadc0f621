"""Tests of the index of one host."""

from __future__ import annotations

from hypothesis import given, settings
from twisted.trial import unittest

from balancer.model.facts import RequestFacts
from balancer.routing.index import PathIndex
from balancer.routing.table import RouteTable
from tests.routing.making import route
from tests.routing.strategies import requests, tables


def offered(table: RouteTable, path: str) -> list[str]:
    return [str(entry.pattern) for bucket in PathIndex(table.entries).buckets(path) for entry in bucket.entries]


class PathIndexTests(unittest.TestCase):
    """Buckets most specific first, and none that cannot match."""

    def test_literal_tree(self) -> None:
        """Prefixes come longest first, behind the exact path, before expressions and the rest."""
        table = RouteTable(
            [route(f"r{n}", n, path=path) for n, path in enumerate(["/**", "/a/**", "/a/b/**", "/a/b", "~b", "/c/**"])]
            + [route("none", 9)]
        )
        self.assertEqual(offered(table, "/a/b"), ["/a/b", "/a/b/**", "/a/**", "/**", "~b", "None"])
        self.assertEqual(offered(table, "/a/c/d/e"), ["/a/**", "/**", "~b", "None"])

    def test_variables(self) -> None:
        """Templates come before prefixes, literal branches before variable ones."""
        paths = ["/{x}/{y}", "/a/{y}", "/{x}/b", "/{x}/**", "/a/{y}/**", "/{x}/b/**", "/a/**"]
        table = RouteTable([route(f"r{n}", n, path=path) for n, path in enumerate(paths)])
        self.assertEqual(
            offered(table, "/a/b"),
            ["/a/{y}", "/{x}/b", "/{x}/{y}", "/a/{y}/**", "/{x}/b/**", "/a/**", "/{x}/**"],
        )
        self.assertEqual(offered(table, "/a/"), ["/a/**", "/{x}/**"])

    def test_long_paths(self) -> None:
        """A path far deeper than the tree is cut where the tree ends."""
        table = RouteTable([route("r", path="/{a}/{b}"), route("p", 1, path="/{a}/**")])
        self.assertEqual(offered(table, "/x" * 4000), ["/{a}/**"])

    @given(tables(), requests())
    @settings(max_examples=100, deadline=None)
    def test_first_is_the_first_of_the_buckets(self, table: RouteTable, request: RequestFacts) -> None:
        """The unrolled search and the buckets agree."""
        entries = [entry for entry in table.entries if entry.host is None and entry.route.priority == 0]
        index = PathIndex(entries)
        found = [bucket.first(request) for bucket in index.buckets(request.path)]
        ranks = [entry.rank for entry in found if entry is not None]
        first = index.first(request, request.path)
        self.assertEqual(first.rank if first is not None else None, min(ranks, default=None))
