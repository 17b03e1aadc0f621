"""Tests of one compiled route."""

from __future__ import annotations

from twisted.trial import unittest
from twisted.web.resource import Resource

from balancer.filters.headers import HeaderFilter, HeaderSettings
from balancer.routing.answer import fixed_reply
from balancer.routing.conditions import Conditions
from balancer.routing.redirect import Redirect
from balancer.routing.route import Route
from balancer.routing.split import Split
from tests.routing.making import conditions, facts, route


class RouteTests(unittest.TestCase):
    """Exactly one action, names that are known, the path that matched."""

    def test_actions(self) -> None:
        """The action is named after what was given."""
        resource = Resource()
        for given, action in (
            ({"pool": "p"}, "pool"),
            ({"split": Split({"a": 1})}, "split"),
            ({"redirect": Redirect("/x")}, "redirect"),
            ({"reply": fixed_reply()}, "respond"),
            ({"resource": resource}, "resource"),
        ):
            self.assertEqual(route("r", action=given).action, action)
        self.assertIs(route("r", action={"resource": resource}).leaf, resource)

    def test_one_action_only(self) -> None:
        """None or two are errors."""
        error = self.assertRaises(ValueError, Route, "r", 0, Conditions())
        self.assertEqual(str(error), "route 'r' needs exactly one action, got none")
        error = self.assertRaises(ValueError, route, "r", action={"pool": "p", "redirect": Redirect("/")})
        self.assertEqual(str(error), "route 'r' needs exactly one action, got pool, redirect")

    def test_matched(self) -> None:
        """Of several paths the most specific that matches is the one that matched."""
        made = route("r", path=["/a/**", "/a/{id}", "~x"])
        for path, pattern in {"/a/1": "/a/{id}", "/a/1/2": "/a/**", "/x": "~x"}.items():
            self.assertEqual(str(made.matched(facts(path)).pattern), pattern)  # type: ignore[union-attr]
        self.assertIsNone(route("r").matched(facts("/")))

    def test_captures(self) -> None:
        """Only what every path captures is sure to be there."""
        self.assertEqual(route("r", path=["/a/{id}/{x}", "/b/{id}"]).captures, {"id"})
        self.assertEqual(route("r").captures, frozenset())

    def test_names_in_filters(self) -> None:
        """A filter that needs a capture which the path does not give is an error."""
        headers = HeaderFilter(HeaderSettings.model_validate({"request": {"set": {"X-User": "{id}"}}}))
        matching = conditions(path="/u/{id}")
        self.assertEqual(Route("r", 0, matching, pool="p", filters=[headers]).filters, (headers,))
        error = self.assertRaises(ValueError, Route, "r", 0, conditions(path="/u/{uid}"), pool="p", filters=[headers])
        self.assertEqual(str(error), "unknown name {id} in a filter; the path captures uid")

    def test_repr(self) -> None:
        """Name, action and pool are shown."""
        self.assertEqual(repr(route("r")), "<Route r pool r>")
        self.assertEqual(repr(route("r", action={"redirect": Redirect("/")})), "<Route r redirect>")
