"""Tests of the decision."""

from __future__ import annotations

from twisted.trial import unittest

from balancer.model.keys import Key
from balancer.model.target import BadTargetError
from balancer.routing.decide import NO_ROUTE, decide
from balancer.routing.redirect import Redirect
from balancer.routing.split import Split
from balancer.routing.table import RouteTable
from tests.routing.making import facts, route


def no_draw() -> float:
    raise AssertionError("chance was asked")


class DecideTests(unittest.TestCase):
    """A pure function of table, facts and draw."""

    def test_no_route(self) -> None:
        """Without a matching route there is one decision that says so."""
        self.assertIs(decide(RouteTable([]), facts(), no_draw), NO_ROUTE)
        self.assertEqual((NO_ROUTE.action, NO_ROUTE.route, NO_ROUTE.pool), ("none", "", None))

    def test_prebuilt(self) -> None:
        """Where the match settles it, the same decision is returned each time and chance is not asked."""
        table = RouteTable([route("r", path="/a/**")])
        first = decide(table, facts("/a/1"), no_draw)
        self.assertIs(first, decide(table, facts("/a/2"), no_draw))
        self.assertEqual((first.route, first.action, first.pool), ("r", "pool", "r"))
        self.assertIs(first.entry, table.routes[0])

    def test_captures(self) -> None:
        """Template variables and named groups are captured, decoded."""
        table = RouteTable(
            [route("t", path="/u/{id}/{tab}"), route("r", 1, path=r"~^/r/(?P<year>\d+)(-(?P<rest>.*))?$")]
        )
        self.assertEqual(decide(table, facts("/u/a%20b/%C3%A9"), no_draw).captures, {"id": "a b", "tab": "é"})
        self.assertEqual(decide(table, facts("/r/2024-x/y"), no_draw).captures, {"year": "2024", "rest": "x/y"})
        self.assertEqual(decide(table, facts("/r/2024"), no_draw).captures, {"year": "2024", "rest": ""})
        self.assertEqual(decide(table, facts("/u/%ff/x"), no_draw).captures["id"], "\udcff")

    def test_split_by_chance(self) -> None:
        """The draw decides; each pool's decision is made once."""
        table = RouteTable([route("s", action={"split": Split({"a": 90, "b": 10})})])
        low, high = decide(table, facts(), lambda: 0.89), decide(table, facts(), lambda: 0.91)
        self.assertEqual((low.pool, high.pool, low.action), ("a", "b", "split"))
        self.assertIs(low, decide(table, facts("/x"), lambda: 0.0))

    def test_sticky_split(self) -> None:
        """With a key the request decides, and chance is not asked."""
        split = Split({"a": 1, "b": 1}, Key("client_ip"))
        table = RouteTable([route("s", path="/{id}", action={"split": split})])
        pools = {decide(table, facts("/1", client=f"10.0.0.{n}"), no_draw).pool for n in range(30)}
        self.assertEqual(pools, {"a", "b"})
        decision = decide(table, facts("/1"), no_draw)
        self.assertEqual(decision.captures, {"id": "1"})
        self.assertEqual(decision.pool, decide(table, facts("/2"), no_draw).pool)

    def test_other_actions(self) -> None:
        """A redirect has no pool."""
        table = RouteTable([route("r", action={"redirect": Redirect("/x")})])
        decision = decide(table, facts(), no_draw)
        self.assertEqual((decision.action, decision.pool), ("redirect", None))

    def test_bad_target(self) -> None:
        """What can be read in two ways is refused, whether or not a route looks at it."""
        self.assertRaises(BadTargetError, decide, RouteTable([route("r")]), facts("/..%2f"), no_draw)
