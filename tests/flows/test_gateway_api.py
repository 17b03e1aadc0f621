"""What the Kubernetes Gateway API demands of an HTTPRoute, as far as it is about which route wins and what headers become.

The behaviours are those of its conformance tests (HTTPRouteMatching, …MatchingAcrossRoutes, …PathMatchOrder, HTTPExactPathMatching, …HeaderMatching,
…QueryParamMatching, …MethodMatching, …HostnameIntersection, …RequestHeaderModifier, …Weight); matches of one rule that are joined by "or" there are routes of their own here.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer.service.explaining import Explanation, Sample, explain
from balancer.service.snapshot import Snapshot
from tests.service.making import built_in

_MATCHING = {
    "routes": [
        ({"path": "/**"}, "v1"),
        ({"headers": {"version": "one"}}, "v1"),
        ({"path": "/v2/**"}, "v2"),
        ({"headers": {"version": "two"}, "path": "/**"}, "v2"),
    ],
    "requests": [
        ("/", {}, "v1"),
        ("/example", {}, "v1"),
        ("/", {"Version": "one"}, "v1"),
        ("/v2", {}, "v2"),
        ("/v2/", {}, "v2"),
        ("/v2/example", {}, "v2"),
        ("/", {"Version": "two"}, "v2"),
        ("/v2", {"Version": "one"}, "v2"),
        ("/v2example", {}, "v1"),
        ("/foo/v2/example", {}, "v1"),
    ],
}
_ACROSS = {
    "routes": [
        ({"host": ["example.com", "example.net"], "path": "/**"}, "v1"),
        ({"host": ["example.com", "example.net"], "headers": {"version": "one"}, "path": "/**"}, "v1"),
        ({"host": "example.com", "path": "/v2/**"}, "v2"),
        ({"host": "example.com", "headers": {"version": "two"}, "path": "/**"}, "v2"),
    ],
    "requests": [
        ("/", {"Host": "example.com"}, "v1"),
        ("/", {"Host": "example.net"}, "v1"),
        ("/example", {"Host": "example.com"}, "v1"),
        ("/v2", {"Host": "example.com"}, "v2"),
        ("/v2/", {"Host": "example.com:8080"}, "v2"),
        ("/v2", {"Host": "example.net"}, "v1"),
        ("/", {"Host": "example.com", "Version": "two"}, "v2"),
        ("/", {"Host": "example.net", "Version": "two"}, "v1"),
        ("/", {"Host": "other.example"}, None),
    ],
}
_ORDER = {
    "routes": [
        ({"path": "/match/exact/one"}, "v3"),
        ({"path": "/match/exact"}, "v2"),
        ({"path": "/match"}, "v1"),
        ({"path": "/match/prefix/**"}, "v1"),
        ({"path": "/match/prefix/one/**"}, "v2"),
        ({"path": "/match/**"}, "v3"),
    ],
    "requests": [
        ("/match/exact/one", {}, "v3"),
        ("/match/exact", {}, "v2"),
        ("/match", {}, "v1"),
        ("/match/prefix/one/any", {}, "v2"),
        ("/match/prefix/any", {}, "v1"),
        ("/match/any", {}, "v3"),
    ],
}
_EXACT = {
    "routes": [({"path": "/one"}, "v1"), ({"path": "/two"}, "v2")],
    "requests": [
        ("/one", {}, "v1"),
        ("/two", {}, "v2"),
        ("/", {}, None),
        ("/one/example", {}, None),
        ("/two/", {}, None),
        ("/Two", {}, None),
    ],
}
_HEADERS = {
    "routes": [
        ({"headers": {"version": "one"}}, "v1"),
        ({"headers": {"version": "two"}}, "v2"),
        ({"headers": {"version": "two", "color": "orange"}}, "v1"),
        *(({"headers": {"color": color}}, "v1") for color in ("blue", "green")),
        *(({"headers": {"color": color}}, "v2") for color in ("red", "yellow")),
    ],
    "requests": [
        ("/", {"Version": "one"}, "v1"),
        ("/", {"VERSION": "two"}, "v2"),
        ("/", {"Version": "two", "Color": "orange"}, "v1"),
        ("/", {"Version": "two", "Color": "blue"}, "v2"),
        ("/", {"Color": "orange"}, None),
        ("/", {"Some-Other-Header": "one"}, None),
        ("/", {"Color": "blue"}, "v1"),
        ("/", {"Color": "green"}, "v1"),
        ("/", {"Color": "red"}, "v2"),
        ("/", {"Color": "yellow"}, "v2"),
        ("/", {"Color": "Blue"}, None),
        ("/", {"Color": "purple"}, None),
    ],
}
_QUERY = {
    "routes": [
        ({"query": {"animal": "whale"}}, "v1"),
        ({"query": {"animal": "dolphin"}}, "v2"),
        ({"query": {"animal": "dolphin", "color": "blue"}}, "v3"),
        ({"query": {"ANIMAL": "Whale"}}, "v3"),
        ({"path": "/path1/**", "query": {"animal": "whale"}}, "v1"),
        ({"headers": {"version": "one"}, "query": {"animal": "whale"}}, "v2"),
        ({"path": "/path2/**", "headers": {"version": "two"}, "query": {"animal": "whale"}}, "v3"),
        ({"path": "/path3/**", "query": {"animal": "shark"}}, "v1"),
        ({"path": "/path4/**", "headers": {"version": "three"}, "query": {"animal": "kraken"}}, "v1"),
        ({"path": "/path5/**"}, "v1"),
        ({"query": {"animal": "hydra"}}, "v2"),
        ({"headers": {"version": "four"}}, "v3"),
    ],
    "requests": [
        ("/?animal=whale", {}, "v1"),
        ("/?animal=dolphin", {}, "v2"),
        ("/?animal=dolphin&color=blue", {}, "v3"),
        ("/?color=blue&animal=dolphin", {}, "v3"),
        ("/?ANIMAL=Whale", {}, "v3"),
        ("/?animal=whale&otherparam=irrelevant", {}, "v1"),
        ("/?animal=dolphin&color=yellow", {}, "v2"),
        ("/?animal=%77hale", {}, "v1"),
        ("/?color=blue", {}, None),
        ("/?animal=dog", {}, None),
        ("/?animal=whaledolphin", {}, None),
        ("/", {}, None),
        ("/path1?animal=whale", {}, "v1"),
        ("/?animal=whale", {"version": "one"}, "v2"),
        ("/path2?animal=whale", {"version": "two"}, "v3"),
        ("/path3?animal=shark", {}, "v1"),
        ("/path4?animal=kraken", {"version": "three"}, "v1"),
        ("/?animal=shark", {}, None),
        ("/path4?animal=kraken", {}, None),
        ("/path5?animal=hydra", {}, "v1"),
        ("/?animal=hydra", {"version": "four"}, "v3"),
    ],
}
_METHODS = {
    "routes": [
        ({"method": "POST"}, "v1"),
        ({"method": "GET"}, "v2"),
        ({"path": "/path1/**", "method": "GET"}, "v1"),
        ({"headers": {"version": "one"}, "method": "PUT"}, "v2"),
        ({"path": "/path2/**", "headers": {"version": "two"}, "method": "POST"}, "v3"),
        ({"path": "/path5/**"}, "v1"),
        ({"method": "PATCH"}, "v2"),
        ({"headers": {"version": "four"}}, "v3"),
    ],
    "requests": [
        ("POST /", {}, "v1"),
        ("GET /", {}, "v2"),
        ("HEAD /", {}, None),
        ("GET /path1", {}, "v1"),
        ("PUT /", {"version": "one"}, "v2"),
        ("POST /path2", {"version": "two"}, "v3"),
        ("PUT /", {}, None),
        ("PATCH /path5", {}, "v1"),
        ("PATCH /", {"version": "four"}, "v2"),
        ("DELETE /", {"version": "four"}, "v3"),
    ],
}
_HOSTS = {
    "routes": [
        ({"host": "very.specific.com", "path": "/s1/**"}, "v1"),
        ({"host": "*.wildcard.io", "path": "/s2/**"}, "v2"),
        ({"host": "*.deep.wildcard.io", "path": "/s2/**"}, "v3"),
        ({"host": "exact.wildcard.io", "path": "/s2/**"}, "v1"),
    ],
    "requests": [
        ("/s1", {"Host": "very.specific.com"}, "v1"),
        ("/s1", {"Host": "VERY.specific.com:1234"}, "v1"),
        ("/s1", {"Host": "non.matching.com"}, None),
        ("/non-matching-prefix", {"Host": "very.specific.com"}, None),
        ("/s2", {"Host": "foo.wildcard.io"}, "v2"),
        ("/s2", {"Host": "foo.bar.wildcard.io"}, "v2"),
        ("/s2", {"Host": "a.deep.wildcard.io"}, "v3"),
        ("/s2", {"Host": "exact.wildcard.io"}, "v1"),
        ("/s2", {"Host": "wildcard.io"}, None),
        ("/s2", {"Host": "foo.nonmatchingwildcard.io"}, None),
    ],
}
BEHAVIOURS: dict[str, dict[str, Any]] = {
    "matching": _MATCHING,
    "across routes": _ACROSS,
    "path order": _ORDER,
    "exact paths": _EXACT,
    "headers": _HEADERS,
    "query": _QUERY,
    "methods": _METHODS,
    "hosts": _HOSTS,
}
_MODIFIERS = [
    ({"set": {"X-Header-Set": "overwrites"}}, {}, {"X-Header-Set": ["overwrites"]}),
    ({"set": {"X-Header-Set": "overwrites"}}, {"X-Header-Set": "other"}, {"X-Header-Set": ["overwrites"]}),
    ({"add": {"X-Header-Add": "appends"}}, {}, {"X-Header-Add": ["appends"]}),
    ({"add": {"X-Header-Add": "appends"}}, {"X-Header-Add": "other"}, {"X-Header-Add": ["other", "appends"]}),
    ({"remove": ["X-Header-Remove"]}, {"X-Header-Remove": "val"}, {"X-Header-Remove": []}),
    (
        {
            "set": {"X-Set-1": "1", "X-Set-2": "2"},
            "add": {"X-Add-1": "1", "X-Add-2": "2"},
            "remove": ["X-Gone-1", "X-Gone-2"],
        },
        {"x-set-2": "old", "x-add-2": "old", "x-gone-2": "old", "Another": "val"},
        {
            "X-Set-1": ["1"],
            "X-Set-2": ["2"],
            "X-Add-1": ["1"],
            "X-Add-2": ["old", "2"],
            "X-Gone-1": [],
            "X-Gone-2": [],
            "Another": ["val"],
        },
    ),
]


class GatewayAPITests(SynchronousTestCase):
    def snapshot(self, routes: list[dict[str, Any]]) -> Snapshot:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        pools = {name: {"servers": ["10.0.0.1:80"]} for name in ("v1", "v2", "v3")}
        text = {"listeners": {"web": {"bind": "127.0.0.1:80", "routes": routes}}, "pools": pools}
        return built_in(folder, json.dumps(text))

    def ask(self, snapshot: Snapshot, line: str, headers: dict[str, str]) -> Explanation:
        method, _, path = line.rpartition(" ")
        fields = {"Host": "example.org", **headers}
        return explain(snapshot, Sample(path, method or "GET", list(fields.items())), random.random)

    def test_which_route(self) -> None:
        """Each request goes where it must, or nowhere; in whatever order the routes stand, but for equals."""
        for name, behaviour in BEHAVIOURS.items():
            routes = [{"match": match, "pool": pool} for match, pool in behaviour["routes"]]
            orders = [routes] if name == "headers" else [routes, routes[::-1]]
            for order in orders:
                snapshot = self.snapshot(order)
                for line, headers, pool in behaviour["requests"]:
                    found = self.ask(snapshot, line, headers)
                    self.assertEqual(found.pool, pool, (name, line, headers, found.rejected))
                    if pool is None:
                        self.assertEqual(found.status, 404)

    def test_header_modifier(self) -> None:
        """Set has one, add has one more, remove has none, whatever case is used."""
        for steps, sent, expected in _MODIFIERS:
            snapshot = self.snapshot([{"filters": [{"headers": {"request": steps}}], "pool": "v1"}])
            request = self.ask(snapshot, "/", sent).request
            assert request is not None
            for name, values in expected.items():
                got = [value for key, value in request["headers"] if key.lower() == name.lower()]
                self.assertEqual(got, values, (steps, name))

    def test_weight(self) -> None:
        """Shares are as the weights say, to the percent; a weight of 0 gets nothing."""
        snapshot = self.snapshot([{"split": {"v1": 70, "v2": 30, "v3": 0}}])
        draw = random.Random(5)
        decided = Counter(explain(snapshot, Sample("/"), draw.random).pool for _ in range(20_000))
        self.assertLess(abs(decided["v1"] / 20_000 - 0.7), 0.01)
        self.assertEqual(set(decided), {"v1", "v2"})
