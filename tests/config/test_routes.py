"""Tests for :mod:`balancer.config.routes`."""

from __future__ import annotations

from pydantic import ValidationError
from twisted.trial.unittest import SynchronousTestCase

from balancer.config.routes import Redirect, Respond, Route, RouteQueue, Split
from balancer.model.keys import Key
from tests.config.samples import config_of, route_problems

ROUTES = """
listeners:
  web:
    bind: '*:80'
    routes:
      - {name: users, match: {path: /users/{id}}, pool: a}
      - {split: {a: 90, b: 10}, match: {path: /s}}
      - {split: {weights: {a: 1}, key: {cookie: uid}}, match: {path: /k}}
      - {redirect: "https://x/{host}", match: {path: /r}}
      - {respond: 404, match: {path: /n}}
      - {respond: {status: 418, body: tea, headers: {X-Pot: short}}}
      - {resource: {static: {directory: files}}, priority: -1}
pools:
  a: {servers: ["a:1"]}
  b: {servers: ["b:1"]}
""".replace("path: /users/{id}", 'path: "/users/{id}"')


class RouteTests(SynchronousTestCase):
    """Routes of every action."""

    def test_actions(self) -> None:
        """Each route knows its action and the pools it may lead to."""
        routes = list(config_of(ROUTES, directory="/etc/balancer").listeners["web"].routes)
        self.assertEqual(
            [route.action for route in routes if isinstance(route, Route)],
            ["pool", "split", "split", "redirect", "respond", "respond", "resource"],
        )
        self.assertEqual([route.pools for route in routes[:4]], [("a",), ("a", "b"), ("a",), ()])

    def test_short_forms(self) -> None:
        """Weights, target and status may stand alone."""
        self.assertEqual(Split.model_validate({"a": 1}), Split(weights={"a": 1}))
        self.assertEqual(Split.model_validate({"weights": {"a": 1}, "key": "client_ip"}).key, Key("client_ip"))
        self.assertEqual(Split.model_validate({"weights": 3, "other": 1}).weights, {"weights": 3, "other": 1})
        self.assertEqual(Redirect.model_validate("/x").to, "/x")
        self.assertEqual(Respond.model_validate(404).status, 404)

    def test_names(self) -> None:
        """A route without a name is called by its listener and index; a listener's only ``pool`` by the listener."""
        config = config_of(ROUTES, directory="/")
        self.assertEqual([route.name for route in config.listeners["web"].routes][:3], ["users", "web[1]", "web[2]"])

    def test_directory(self) -> None:
        """Paths in a plug-in's settings count from the configuration's directory."""
        route = config_of(ROUTES, directory="/etc/balancer").listeners["web"].routes[6]
        assert isinstance(route, Route)
        assert route.resource is not None
        self.assertEqual(route.resource.settings.directory, "/etc/balancer/files")  # type: ignore[attr-defined]

    def test_refused(self) -> None:
        """What is wrong in an action is said at its key."""
        for route, expected in [
            ("{split: {app: -1}}", ["split.app: expected a value of 0 or more, got -1"]),
            ("{split: {app: 0}}", ["split: expected at least one pool with a weight above 0"]),
            ("{split: {}}", ["split: expected at least one pool with a weight above 0"]),
            (
                "{split: {weights: {app: 1}, key: colour}}",
                [
                    "split.key: expected client_ip, client_port, host, path, target, method, or {header|cookie|query: NAME}"
                ],
            ),
            ("{split: app}", ["split: expected a mapping (keys: weights, key, sticky, override, canary), got 'app'"]),
            (
                "{redirect: {}}",
                ["redirect: expected either 'to', or one or more of 'scheme', 'host', 'port', 'path' and 'query'"],
            ),
            (
                "{redirect: {to: /x, host: y}}",
                ["redirect: expected either 'to', or one or more of 'scheme', 'host', 'port', 'path' and 'query'"],
            ),
            ("{redirect: {to: /x, status: 200}}", ["redirect.status: expected 301, 302, 303, 307 or 308, got 200"]),
            (
                "{redirect: [/x]}",
                ["redirect: expected a mapping (with keys such as to, scheme, host, port, path, query, …), got a list"],
            ),
            ("{respond: 99}", ["respond: expected a value of 200 or more, got 99"]),
            ("{respond: {body: 5}}", ["respond.body: expected text, got 5 (quote it)"]),
            (
                "{respond: {headers: {A: 5}}}",
                ["respond.headers.A: expected a header's value as text (quote a number), got 5"],
            ),
            ("{resource: statik}", ["resource: there is no resource 'statik'; did you mean 'static'?"]),
            ("{resource: static}", ["resource.directory: expected 'directory': what is served"]),
            ("{pool: 5}", ["pool: expected text, got 5 (quote it)"]),
            ("{pool: app, filters: headers}", ["filters: expected a list, got 'headers'"]),
            (
                "{pool: app, filters: [{headers: {}, waf: {}}]}",
                ["filters[0].waf: expected one filter, got a second, 'waf', after 'headers'"],
            ),
            ("{pool: app, filters: [5]}", ["filters[0]: expected the name of a filter, or {name: settings}"]),
            (
                "{pool: app, filters: [{waf: {checks: [rulez, {rules: {level: x}}, {rules: f}]}}]}",
                [
                    "filters[0].waf.checks[0]: there is no check 'rulez'; did you mean 'rules'?",
                    "filters[0].waf.checks[1].rules.file: expected 'file': where the rules are",
                    "filters[0].waf.checks[1].rules.level: expected a whole number, got 'x'",
                ],
            ),
            ("{pool: app, host: x}", ["host: unknown key 'host' here: it belongs under 'match'"]),
            ("{pool: app, priority: high}", ["priority: expected a whole number, got 'high'"]),
        ]:
            with self.subTest(route):
                self.assertEqual(sorted(route_problems(route)), sorted(expected))


class AskingTests(SynchronousTestCase):
    """What a route asks its pool for."""

    def test_queue(self) -> None:
        """A number alone is the priority; others must be in range."""
        self.assertEqual(RouteQueue.model_validate(9), RouteQueue(priority=9))
        self.assertEqual(RouteQueue.model_validate({"timeout": "2s"}).timeout, 2.0)
        for value in (11, -1, True, "high"):
            self.assertRaises(ValidationError, RouteQueue.model_validate, value)
