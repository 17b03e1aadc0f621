"""Tests of the explanation: it agrees with the decision and names what fails."""

from __future__ import annotations

from hypothesis import given, settings
from twisted.trial import unittest

from balancer.model.facts import RequestFacts
from balancer.routing.decide import decide
from balancer.routing.explain import candidates
from balancer.routing.table import RouteTable
from tests.routing.making import facts, route
from tests.routing.strategies import requests, tables


class CandidateTests(unittest.TestCase):
    """Every route, ranked, with its first failing condition."""

    @given(tables(), requests())
    @settings(max_examples=150, deadline=None)
    def test_agrees_with_decide(self, table: RouteTable, request: RequestFacts) -> None:
        """The first candidate that matches is the route decided on, with the same captures."""
        ranked = candidates(table, request)
        self.assertEqual(sorted(c.route.order for c in ranked), list(range(len(table))))
        best = next((c for c in ranked if c.matched), None)
        decision = decide(table, request, lambda: 0.5)
        self.assertEqual(decision.route, "" if best is None else best.route.name)
        self.assertEqual(dict(decision.captures), {} if best is None else dict(best.captures))

    def test_first_failing_condition(self) -> None:
        """Host, path, method, then the other conditions: the first that fails is named, with what was asked."""
        table = RouteTable(
            [
                route("host", 0, host="b.example", path="/x"),
                route("path", 1, path=["/x", "/y"]),
                route("method", 2, path="/", method=["PUT", "POST"]),
                route("header", 3, headers={"X-A": "1"}, query={"q": {"prefix": "z"}}),
                route("all", 4),
            ]
        )
        told = {c.route.name: (c.stage, c.failed) for c in candidates(table, facts("/"))}
        self.assertEqual(
            told,
            {
                "host": ("host", "host is b.example, not a.example"),
                "path": ("path", "path is /x, not /"),
                "method": ("method", "method is POST or PUT, not GET"),
                "header": ("condition", "header x-a is '1'"),
                "all": ("", ""),
            },
        )

    def test_the_combination_that_came_furthest_speaks(self) -> None:
        """Of several hosts and paths, the combination that got furthest is reported."""
        table = RouteTable([route("r", host=["a.example", "b.example"], path="/x", method="PUT")])
        (candidate,) = candidates(table, facts("/x", host="b.example"))
        self.assertEqual(candidate.failed, "method is PUT, not GET")
        self.assertFalse(candidate.matched)

    def test_missing_host(self) -> None:
        """A request without a host is told apart from one with another host."""
        (candidate,) = candidates(RouteTable([route("r", host="a.example")]), facts(host=""))
        self.assertEqual(candidate.failed, "host is a.example, not missing")
