"""Tests of finding routes that nothing can reach."""

from __future__ import annotations

from hypothesis import given, settings
from twisted.trial import unittest

from balancer.model.facts import RequestFacts
from balancer.routing.decide import decide
from balancer.routing.reachability import unreachable
from balancer.routing.route import Route
from balancer.routing.table import RouteTable
from tests.routing.making import route
from tests.routing.strategies import requests, tables


def hidden(*routes: Route) -> dict[str, list[str]]:
    return {each.route.name: [other.name for other in each.by] for each in unreachable(RouteTable(routes))}


class UnreachableTests(unittest.TestCase):
    """Hidden for certain, or not reported."""

    def test_the_same_match_twice(self) -> None:
        """The second of two equal routes is hidden, whatever its further conditions."""
        self.assertEqual(hidden(route("a", 0, path="/x"), route("b", 1, path="/x")), {"b": ["a"]})
        plain, narrow = route("a", 0, path="/x"), route("b", 1, path="/x", cookies={"c": "1"})
        self.assertEqual(hidden(plain, narrow), {"b": ["a"]})
        self.assertEqual(hidden(route("a", 1, path="/x"), route("b", 0, path="/x", cookies={"c": "1"})), {})

    def test_more_headers_go_first(self) -> None:
        """A route with more header conditions is not hidden by one with fewer: it goes before it."""
        self.assertEqual(hidden(route("a", 0), route("b", 1, headers={"X": "1"})), {})

    def test_methods_together(self) -> None:
        """Several routes may share out the methods of one."""
        routes = [route("g", 0, path="/x", method="GET"), route("p", 1, path="/x", method=["POST", "PUT"])]
        self.assertEqual(hidden(*routes, route("b", 2, path="/x", method=["GET", "PUT"])), {"b": ["g", "p"]})
        self.assertEqual(hidden(*routes, route("b", 2, path="/x", method=["GET", "DELETE"])), {})
        self.assertEqual(hidden(*routes, route("b", 2, path="/x")), {})

    def test_everything_before_expressions(self) -> None:
        """A route for every path goes before expressions, and before routes without a path."""
        self.assertEqual(hidden(route("a", 1, path="/**"), route("r", 0, path="~x")), {"r": ["a"]})
        self.assertEqual(hidden(route("a", 1, path="/**"), route("n", 0)), {"n": ["a"]})
        self.assertEqual(hidden(route("a", 1, path="/**", host="*.b"), route("n", 0)), {})

    def test_variables_by_another_name(self) -> None:
        """Templates of one shape match the same paths."""
        self.assertEqual(hidden(route("a", 0, path="/u/{id}"), route("b", 1, path="/u/{name}")), {"b": ["a"]})
        self.assertEqual(hidden(route("a", 0, path="/u/{id}"), route("b", 1, path="/{u}/{name}")), {})

    def test_priority(self) -> None:
        """A priority hides what is more specific, as far as its patterns reach."""
        above = route("top", 9, priority=1, host="*.example", path="/a/{x}/**")
        for match, expected in (
            ({"host": "b.example", "path": "/a/b/c"}, True),
            ({"host": "*.b.example", "path": "/a/{z}"}, True),
            ({"host": "*.example", "path": "/a/b/**"}, True),
            ({"host": "b.example", "path": "/a/**"}, False),
            ({"host": "b.example", "path": "/a/"}, False),
            ({"host": "example", "path": "/a/b"}, False),
            ({"path": "/a/b"}, False),
        ):
            self.assertEqual("r" in hidden(above, route("r", 0, **match)), expected, match)

    def test_expressions_over_exact_paths(self) -> None:
        """An expression of higher priority hides the exact paths that it matches."""
        above = route("top", 1, priority=1, path="~^/v[0-9]/")
        self.assertEqual(hidden(above, route("a", 0, path="/v1/x")), {"a": ["top"]})
        self.assertEqual(hidden(above, route("a", 0, path="/v1")), {})

    def test_every_combination_must_be_hidden(self) -> None:
        """A route with one combination left can be reached."""
        taken = [route("x", 0, path="/x"), route("y", 1, path="/y")]
        self.assertEqual(hidden(*taken, route("b", 2, path=["/x", "/y"])), {"b": ["x", "y"]})
        self.assertEqual(hidden(*taken, route("b", 2, path=["/x", "/z"])), {})
        self.assertEqual(hidden(route("b", 2, path=["/x/**", "/x/y"])), {})

    def test_many_conditions(self) -> None:
        """Among many sets of conditions those that ask for nothing more are found."""
        others = [route(f"o{n}", n, cookies={f"c{n}": "1"}) for n in range(40)]
        narrow = route("b", 50, cookies={"c7": "1", "x": "1"})
        wide = route("w", 51, cookies={"y": "1", "x": "1"})
        self.assertEqual(hidden(*others, narrow, wide), {"b": ["o7"]})

    def test_words(self) -> None:
        """The message names both."""
        (found,) = unreachable(RouteTable([route("a", 0), route("b", 1)]))
        self.assertEqual(str(found), "route 'b' can never be reached: 'a' takes every request it could match")

    @given(tables(), requests())
    @settings(max_examples=150, deadline=None)
    def test_no_request_reaches_them(self, table: RouteTable, request: RequestFacts) -> None:
        """What is reported is never decided on."""
        reached = decide(table, request, lambda: 0.5).entry
        self.assertNotIn(reached, [each.route for each in unreachable(table)])
