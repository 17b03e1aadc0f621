"""Tests of the order of precedence and of falling back to less specific routes."""

from __future__ import annotations

import random

from hypothesis import given, settings
from twisted.trial import unittest

from balancer.model.facts import RequestFacts
from balancer.model.target import BadTargetError
from balancer.routing.route import Route
from balancer.routing.table import RouteTable
from tests.routing.making import facts, route
from tests.routing.strategies import requests, tables


def found(table: RouteTable, request: RequestFacts) -> str:
    entry = table.find(request)
    return "" if entry is None else entry.route.name


def shuffled(*routes: Route) -> RouteTable:
    """A table of routes written in some other order than that of their precedence."""
    mixed = list(routes)
    random.Random(5).shuffle(mixed)
    return RouteTable(mixed)


class PrecedenceTests(unittest.TestCase):
    """What is more specific goes first, wherever it stands in the file."""

    def test_hosts(self) -> None:
        """An exact host goes before the longest wildcard, that before a shorter one, that before no host."""
        table = shuffled(
            route("any"),
            route("short", host="*.example"),
            route("long", host="*.shop.example"),
            route("exact", host="a.shop.example"),
        )
        self.assertEqual(found(table, facts(host="a.shop.example")), "exact")
        self.assertEqual(found(table, facts(host="b.shop.example")), "long")
        self.assertEqual(found(table, facts(host="x.y.shop.example")), "long")
        self.assertEqual(found(table, facts(host="shop.example")), "short")
        self.assertEqual(found(table, facts(host="example")), "any")
        self.assertEqual(found(table, facts(host="")), "any")

    def test_paths(self) -> None:
        """Exact goes before template, then the longest prefix, then regex, then no path."""
        table = shuffled(
            route("any"),
            route("regex", path="~^/u"),
            route("short", path="/users/**"),
            route("long", path="/users/list/**"),
            route("template", path="/users/{id}"),
            route("exact", path="/users/me"),
        )
        self.assertEqual(found(table, facts("/users/me")), "exact")
        self.assertEqual(found(table, facts("/users/42")), "template")
        self.assertEqual(found(table, facts("/users/list/all")), "long")
        self.assertEqual(found(table, facts("/users/42/x")), "short")
        self.assertEqual(found(table, facts("/users/")), "short")
        self.assertEqual(found(table, facts("/uses")), "regex")
        self.assertEqual(found(table, facts("/other")), "any")

    def test_a_template_with_more_below_is_a_prefix(self) -> None:
        """``/users/{id}/**`` competes with prefixes by length, and gives way to a literal one of the same length."""
        table = shuffled(
            route("short", path="/users/**"),
            route("open", path="/users/{id}/**"),
            route("literal", path="/users/me/**"),
            route("deep", path="/users/{id}/orders/**"),
            route("template", path="/{kind}/{id}"),
        )
        self.assertEqual(found(table, facts("/users/42")), "template")
        self.assertEqual(found(table, facts("/users/me/x")), "literal")
        self.assertEqual(found(table, facts("/users/42/x")), "open")
        self.assertEqual(found(table, facts("/users/me/orders/1")), "deep")
        self.assertEqual(found(table, facts("/users")), "short")

    def test_templates_with_earlier_literals_go_first(self) -> None:
        """Of two templates the one whose literal segment comes earlier is more specific."""
        table = shuffled(route("late", path="/{kind}/me"), route("early", path="/users/{id}"))
        self.assertEqual(found(table, facts("/users/me")), "early")
        self.assertEqual(found(table, facts("/teams/me")), "late")

    def test_prefixes_match_whole_segments(self) -> None:
        """``/a/**`` takes ``/a``, ``/a/`` and all below, never ``/ab``."""
        table = RouteTable([route("a", path="/a/**")])
        for path, name in {"/a": "a", "/a/": "a", "/a/b/c": "a", "/ab": "", "/": ""}.items():
            self.assertEqual(found(table, facts(path)), name, path)

    def test_conditions_below_the_path(self) -> None:
        """A method goes before header conditions, more of them before fewer, then query conditions, then the file."""
        table = RouteTable(
            [
                route("plain", 0),
                route("later", 1),
                route("query", 2, query={"q": "1"}),
                route("header", 3, headers={"X-A": "1"}),
                route("headers", 4, headers={"X-A": "1", "X-B": "1"}),
                route("method", 5, method="POST"),
            ]
        )
        both = (("x-a", "1"), ("X-B", "1"))
        self.assertEqual(found(table, facts("/?q=1", "POST", headers=both)), "method")
        self.assertEqual(found(table, facts("/?q=1", headers=both)), "headers")
        self.assertEqual(found(table, facts("/?q=1", headers=both[:1])), "header")
        self.assertEqual(found(table, facts("/?q=1")), "query")
        self.assertEqual(found(table, facts("/")), "plain")

    def test_file_order_between_expressions(self) -> None:
        """Regular expressions of one host are tried by method, headers, query and then file order."""
        table = RouteTable(
            [route("first", 0, path="~a"), route("second", 1, path="~b"), route("method", 2, path="~c", method="GET")]
        )
        self.assertEqual(found(table, facts("/ab")), "first")
        self.assertEqual(found(table, facts("/abc")), "method")

    def test_conditions_in_all_count(self) -> None:
        """Headers inside ``all`` make a route more specific just as those beside it."""
        table = RouteTable([route("plain", 0), route("all", 1, all=[{"headers": {"X-A": "1"}}])])
        self.assertEqual(found(table, facts(headers=(("X-A", "1"),))), "all")

    def test_priority_overrides(self) -> None:
        """A higher priority goes before everything more specific; a negative one behind everything."""
        table = shuffled(
            route("exact", host="a.example", path="/x"),
            route("maintenance", priority=10, headers={"X-Test": "1"}),
            route("last", priority=-1, host="a.example", path="/y", method="GET"),
            route("any"),
        )
        self.assertEqual(found(table, facts("/x")), "exact")
        self.assertEqual(found(table, facts("/x", headers=(("X-Test", "1"),))), "maintenance")
        self.assertEqual(found(table, facts("/y")), "any")


class FallbackTests(unittest.TestCase):
    """A route whose other conditions fail gives way to less specific ones."""

    def test_to_other_paths_of_the_host_first(self) -> None:
        """Exact, then shorter prefixes of the same host, then the wildcard host, then any host."""
        table = shuffled(
            route("exact", host="a.example", path="/x/y", headers={"H": "1"}),
            route("prefix", host="a.example", path="/x/**", headers={"H": "2"}),
            route("wildcard", host="*.example", path="/x/**", headers={"H": "3"}),
            route("any"),
        )
        for value, name in {"1": "exact", "2": "prefix", "3": "wildcard", "4": "any"}.items():
            self.assertEqual(found(table, facts("/x/y", headers=(("h", value),))), name)

    def test_to_nothing(self) -> None:
        """No route at all is a possible answer."""
        self.assertEqual(found(RouteTable([]), facts()), "")
        self.assertEqual(found(RouteTable([route("a", method="POST")]), facts()), "")


class TableTests(unittest.TestCase):
    """Hosts, targets and sizes."""

    def test_several_hosts_and_paths(self) -> None:
        """A route stands at each combination of its hosts and paths."""
        table = RouteTable([route("r", host=["a.example", "*.b.example"], path=["/x", "/y/**"])])
        self.assertEqual(len(table.entries), 4)
        self.assertEqual(found(table, facts("/y/1", host="c.b.example")), "r")
        self.assertEqual(found(table, facts("/x/1", host="a.example")), "")

    def test_wildcards_match_one_or_more_labels(self) -> None:
        """``*.example.org`` needs at least one label before it."""
        table = RouteTable([route("r", host="*.example.org")])
        expected = {
            "a.example.org": "r",
            "a.b.example.org": "r",
            "example.org": "",
            ".example.org": "",
            "aexample.org": "",
        }
        for host, name in expected.items():
            self.assertEqual(found(table, facts(host=host)), name, host)

    def test_host_ignores_case_port_and_final_dot(self) -> None:
        """``A.Example.:8080`` is ``a.example``."""
        self.assertEqual(found(RouteTable([route("r", host="a.example")]), facts(host="A.Example.:8080")), "r")

    def test_asterisk_form(self) -> None:
        """``OPTIONS *`` reaches routes for every path, and those only."""
        star = facts("*", "OPTIONS")
        self.assertEqual(found(RouteTable([route("r", path="/**")]), star), "r")
        self.assertEqual(found(RouteTable([route("r", path="/"), route("t", path="/{a}")]), star), "")

    def test_matches_the_normalised_path(self) -> None:
        """What a route matches is decoded and free of ``//`` and ``..``; what two readers could read is refused."""
        table = RouteTable([route("r", path="/a b/**")])
        self.assertEqual(found(table, facts("/x/..//a%20b/c")), "r")
        self.assertRaises(BadTargetError, table.find, facts("/a%2fb"))

    def test_bytes_that_are_not_utf8(self) -> None:
        """Odd bytes in the path neither match nor break a regular expression."""
        table = RouteTable([route("regex", path="~^/x"), route("template", path="/{v}")])
        self.assertEqual(found(table, facts("/%ff/x")), "")
        self.assertEqual(found(table, facts("/x%ff/y")), "regex")
        self.assertEqual(found(table, facts("/%ff")), "template")

    def test_many_routes(self) -> None:
        """Each of many routes is found, by host and path or by a header that tells it apart."""
        routes = [route(f"p{n}", n, host=f"h{n % 7}.example", path=f"/s/{n}/**") for n in range(500)]
        routes += [route(f"t{n}", 500 + n, path="/t/**", headers={"X-Tenant": f"t{n}"}) for n in range(500)]
        table = RouteTable(routes)
        self.assertEqual(found(table, facts("/s/123/x", host="h4.example")), "p123")
        self.assertEqual(found(table, facts("/s/123/x", host="h5.example")), "")
        self.assertEqual(found(table, facts("/t/x", headers=(("x-tenant", "t77"),))), "t77")
        self.assertEqual(found(table, facts("/t/x", headers=(("x-tenant", "t500"),))), "")

    def test_repr(self) -> None:
        """Table and entries say what they are."""
        table = RouteTable([route("r", host="*.b.example", path="/y/**")])
        self.assertEqual(repr(table), "<RouteTable of 1 route>")
        self.assertEqual(len(table), 1)
        self.assertEqual(repr(table.entries[0]), "<Entry 0 r host=*.b.example path=/y/**>")


class OrderTests(unittest.TestCase):
    """The index and the plain order of precedence agree."""

    @given(tables(), requests())
    @settings(max_examples=100, deadline=None)
    def test_index_finds_the_first_in_order(self, table: RouteTable, request: RequestFacts) -> None:
        """Every bucket the index offers is complete: the first entry that matches in plain order is the one found."""
        offered = [entry for bucket in table.buckets(request) for entry in bucket.entries]
        self.assertEqual(len(offered), len(set(offered)))
        best = table.find(request)
        for entry in table.entries:
            if entry is best:
                break
            held = (
                entry in offered
                and (entry.methods is None or request.method in entry.methods)
                and all(holds(request) for holds in entry.checks)
            )
            self.assertFalse(held, f"{entry} was passed over for {best}")
