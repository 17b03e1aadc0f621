"""Tests of telling many routes of one place apart."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial import unittest

from balancer.model.facts import RequestFacts
from balancer.routing.bucket import Bucket, Entry
from balancer.routing.table import RouteTable
from tests.routing.making import facts, route
from tests.routing.strategies import requests


def scanned(entries: tuple[Entry, ...], request: RequestFacts) -> Entry | None:
    """The first entry that holds, found the slow way."""
    for entry in entries:
        if entry.methods is not None and request.method not in entry.methods:
            continue
        if all(holds(request) for holds in entry.checks):
            return entry
    return None


_FIELDS = st.dictionaries(st.sampled_from("pq"), st.sampled_from(["1", "2", {"prefix": "1"}]), max_size=2)
_MATCHES = st.fixed_dictionaries(
    {}, optional={"headers": _FIELDS, "query": _FIELDS, "cookies": _FIELDS, "method": st.sampled_from(["GET", "POST"])}
)


class BucketTests(unittest.TestCase):
    """First by rank, however many there are."""

    @given(st.lists(_MATCHES, min_size=9, max_size=40), requests())
    @settings(max_examples=150, deadline=None)
    def test_same_as_a_scan(self, matches: list[dict[str, Any]], request: RequestFacts) -> None:
        """Dictionaries find what a scan of all would."""
        entries = RouteTable([route(f"r{n}", n, **given) for n, given in enumerate(matches)]).entries
        self.assertIs(Bucket(entries).first(request), scanned(entries, request))

    def test_only_some_are_looked_at(self) -> None:
        """Of a thousand tenants only the one asked for is looked at."""
        looked: list[str] = []

        class Spy:
            def __init__(self, name: str) -> None:
                self.name = name

            def matches(self, facts: RequestFacts) -> bool:
                looked.append(self.name)
                return False

            def describe(self) -> str:
                return "spied on"

        routes = [
            route(f"t{n}", n, headers={"X-Tenant": f"t{n}"}, query={"v": "1"}, others=(Spy(f"t{n}"),))
            for n in range(1000)
        ]
        entries = RouteTable(routes).entries
        request = facts("/?v=1", headers=(("X-Tenant", "t7"), ("X-Tenant", "t8")))
        self.assertIsNone(Bucket(entries).first(request))
        self.assertEqual(looked, ["t7", "t8"])

    def test_repr(self) -> None:
        """It says how many."""
        self.assertEqual(repr(Bucket(RouteTable([route("r")]).entries)), "<Bucket of 1>")
