"""Tests for :mod:`balancer.config.checking`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.checking import check
from balancer.config.reading import read_document_text


def _check(text: str) -> list[str]:
    return [f"{p.line}:{p.column}: {p.path}: {p.message}" for p in check(read_document_text(text))]


def _routes(*routes: str, more: str = "") -> list[str]:
    lines = [
        "listeners:",
        "  web:",
        "    routes:",
        *(f"      - {route}" for route in routes),
        "pools: {app: {}, other: {}}",
        more,
    ]
    return _check("\n".join(lines))


class CheckTests(SynchronousTestCase):
    """What holds between parts."""

    def test_pools(self) -> None:
        """Every pool that is named exists: in routes, splits, listeners and tests."""
        self.assertEqual(
            _routes(
                "pool: ap",
                "split: {app: 1, othr: 2}",
                "split: {weights: {nope: 1}, key: host}",
                more="tests: [{expect: {pool: x}}]",
            ),
            [
                "4:15: listeners.web.routes[0].pool: there is no pool 'ap'; did you mean 'app'?",
                "5:25: listeners.web.routes[1].split.othr: there is no pool 'othr'; did you mean 'other'?",
                "6:27: listeners.web.routes[2].split.weights.nope: there is no pool 'nope'; there are: app, other",
                "8:25: tests[0].expect.pool: there is no pool 'x'; there are: app, other",
            ],
        )
        self.assertEqual(
            _check("listeners: {a: {protocol: tcp, pool: x}}"), ["1:38: listeners.a.pool: there is no pool 'x'"]
        )

    def test_actions(self) -> None:
        """A route has exactly one action; routes of other protocols than HTTP are not judged here."""
        self.assertEqual(
            _routes("name: x", "{pool: app, respond: 404, redirect: /x}"),
            [
                "4:9: listeners.web.routes[0]: expected an action: one of pool, split, redirect, respond, resource",
                "5:21: listeners.web.routes[1].respond: expected one action, got 'respond' beside 'pool'",
                "5:35: listeners.web.routes[1].redirect: expected one action, got 'redirect' beside 'pool'",
            ],
        )
        self.assertEqual(_check("listeners: {a: {protocol: tcp, routes: [{}]}}"), [])

    def test_destinations(self) -> None:
        """A listener has routes or a pool, not both."""
        found = _check("listeners:\n  a: {}\n  b: {pool: x, routes: []}\n  c: {routes: []}\npools: {x: {}}\n")
        self.assertEqual([line.split(":")[0] for line in found], ["3", "2"] if found[0].startswith("3") else ["2", "3"])
        self.assertEqual(len(found), 2)

    def test_names(self) -> None:
        """Routes of a listener, servers of a pool and tests have names of their own."""
        self.assertEqual(
            _routes("{name: a, pool: app}", "{name: b, pool: app}", "{name: a, pool: app}"),
            ["6:16: listeners.web.routes[2].name: expected each route to have its own name, 'a' is in line 4 already"],
        )
        self.assertEqual(len(_check("pools: {p: {servers: [{name: a}, {name: a}, {name: b}]}}")), 1)
        self.assertEqual(len(_check("listeners: {w: {routes: []}}\ntests: [{name: a}, {name: a}]")), 1)
        self.assertEqual(
            len(_check("listeners: {v: {routes: [{name: a, respond: 404}]}, w: {routes: [{name: a, respond: 404}]}}")),
            0,
        )

    def test_servers(self) -> None:
        """A server is in a pool once, in whichever form."""
        self.assertEqual(
            _check(
                "pools:\n  p:\n    servers:\n      - a:1\n      - b:1\n      - {address: 'a:1'}\n  q: {servers: ['a:1']}"
            ),
            [
                "6:19: pools.p.servers[2].address: expected each server once, 'a:1' is in line 4 already (give it a weight instead)"
            ],
        )

    def test_tests(self) -> None:
        """Routing tests name HTTP listeners and routes that exist, those without names of their own included."""
        listeners = "listeners:\n  web: {routes: [{name: users, respond: 404}, {respond: 404}]}\n  db: {protocol: tcp, pool: p}\npools: {p: {}}\n"
        self.assertEqual(
            _check(
                f"{listeners}tests:\n  - {{listener: db}}\n  - {{expect: {{route: user}}}}\n  - {{expect: {{route: 'web[1]'}}}}\n"
                "  - {listener: web, expect: {route: 'web[0]'}}\n"
            ),
            [
                "6:16: tests[0].listener: there is no HTTP listener 'db'; there are: web",
                "7:22: tests[1].expect.route: there is no route 'user' in the listener 'web'; did you mean 'users'?",
                "9:37: tests[3].expect.route: there is no route 'web[0]' in the listener 'web'; did you mean 'web[1]'?",
            ],
        )
        self.assertEqual(
            _check("listeners: {db: {protocol: tcp, pool: p}}\npools: {p: {}}\ntests: [{name: x}]"),
            ["3:9: tests[0]: expected an HTTP listener to test, there is none"],
        )

    def test_tests_of_sessions(self) -> None:
        """Those of sessions name listeners of their protocol; the URL's port tells which, where nothing else does."""
        listeners = (
            "listeners:\n  web: {routes: [{respond: 404}]}\n"
            "  a: {protocol: tcp, bind: '*:443', routes: [{name: shop, pool: p}]}\n"
            "  b: {protocol: tcp, bind: ['*:444', '*:445'], pool: p}\npools: {p: {}}\n"
        )
        tests = (
            "tests:\n  - {request: {url: 'tls://x:443'}, expect: {route: shop}}\n"
            "  - {request: {url: 'tcp://x:445'}, expect: {route: b}}\n"
            "  - {request: {url: 'tcp://x:445'}, expect: {route: shop}}\n"
            "  - {request: {url: 'tcp://x:445'}, listener: a, expect: {route: shop}}\n"
            "  - {request: {url: 'tcp://x:445'}, listener: web}\n"
            "  - {request: {url: 'udp://x:53'}}\n"
            "  - {request: {url: 'tcp://x'}, expect: {route: shop}}\n"
        )
        self.assertEqual(
            _check(listeners + tests),
            [
                "9:53: tests[2].expect.route: there is no route 'shop' in the listener 'b'; there are: b",
                "11:47: tests[4].listener: there is no TCP listener 'web'; there are: a, b",
                "12:5: tests[5]: expected a UDP listener to test, there is none",
            ],
        )

    def test_redirects(self) -> None:
        """Names in a target are facts of the request, or captured by every path of the route."""
        self.assertEqual(
            _routes(
                '{match: {path: "/u/{id}"}, redirect: "/v/{id}/{host}"}',
                '{match: {path: "/u/{id}"}, redirect: {to: "/v/{name}"}}',
                '{match: {path: ["/u/{id}", /x]}, redirect: {path: "/v/{id}"}}',
                '{match: {path: {regex: "^/(?P<n>.*)"}}, redirect: {to: "/{n}"}}',
                '{redirect: "/{"}',
                '{match: {path: nonsense}, redirect: "/{id}"}',
            ),
            [
                "5:51: listeners.web.routes[1].redirect.to: unknown name {name} in '/v/{name}'; the path captures id",
                "6:59: listeners.web.routes[2].redirect.path: unknown name {id} in '/v/{id}'; the path captures nothing",
                "8:20: listeners.web.routes[4].redirect: expected {name}, or '{{' and '}}' for braces, at '{'",
            ],
        )

    def test_any_shape(self) -> None:
        """Data of the wrong shape are passed over, not stumbled upon."""
        for text in (
            "listeners: [1]\npools: 5\ntests: x",
            "listeners: {a: 1, b: [1], c: {routes: 5, bind: {}}, d: {routes: [1, null, []]}}",
            "pools: {a: 1, b: {servers: 5}, c: {servers: [1, {address: 5}, {address: x}]}}",
            "listeners: {a: {routes: [{split: 5, redirect: [], match: 5}]}}",
            "tests: [1, {expect: 5}, {listener: []}]",
        ):
            with self.subTest(text):
                _check(text)
