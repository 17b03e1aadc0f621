"""Tests for :mod:`balancer.cli.explain`."""

from __future__ import annotations

import json

from tests.cli.commands import CommandTestCase

_TEXT = """\
listeners:
  web:
    bind: 127.0.0.1:8080
    protocol: http
    filters: [{headers: {request: {set: {X-Edge: "1"}}}}]
    routes:
      - {name: users, match: {path: "/users/{id}", method: [GET]}, pool: users}
      - {name: old, match: {path: /old}, redirect: {path: /new, status: 301}}
      - {name: teapot, match: {path: /tea}, respond: {status: 418, body: short and stout}}
      - {name: canary, match: {host: canary.example}, split: {weights: {users: 1, rest: 1}}}
  second: {bind: "127.0.0.1:9090", protocol: http, pool: rest}
pools:
  users: {servers: ["10.0.0.1:80", "10.0.0.2:80"], algorithm: maglev}
  rest: {servers: ["10.0.0.3:80"]}
"""


class ExplainTests(CommandTestCase):
    def explain(self, *words: str) -> str:
        return self.balancer("explain", self.file(_TEXT), *words).stdout

    def test_a_pool(self) -> None:
        """The route and what it captured, the filters, the pool, the server and why, the request as sent, other routes."""
        text = self.explain("http://shop.example:8080/users/7")
        for words in (
            "route     users",
            "id=7",
            "headers",
            "pool      users",
            "→ 10.0.0.",
            "X-Edge: 1",
            "Host: shop.example",
        ):
            self.assertIn(words, text)
        self.assertRegex(text, r"old +.*path")

    def test_answers(self) -> None:
        self.assertIn("301", self.explain("/old"))
        self.assertIn("/new", self.explain("/old"))
        self.assertIn("418", self.explain("/tea"))
        self.assertIn("none matches", self.explain("/nothing"))

    def test_the_method(self) -> None:
        """As given, or POST where there is a body."""
        self.assertIn("none matches", self.explain("PUT", "/users/7"))
        self.assertIn("POST /users/7", self.explain("-d", "x", "/users/7"))
        for method in ("TRACE", "CONNECT"):
            self.assertIn("405", self.explain(method, "/old"))
        self.assertIn("200", self.explain("OPTIONS", "-H", "Max-Forwards: 0", "/old"))
        self.assertIn("301", self.explain("OPTIONS", "-H", "Max-Forwards: 1", "/old"))

    def test_the_listener(self) -> None:
        """By name, or by the port of the URL."""
        self.assertIn("listener  second", self.explain("http://a:9090/"))
        self.assertIn("listener  second", self.explain("--listener", "second", "/"))
        self.balancer("explain", self.file(_TEXT), "--listener", "third", "/", status=1)

    def test_upgrades(self) -> None:
        """Says that a protocol would be changed, or that no server is asked as the request for it is no good."""
        key = (
            "-H",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "-H",
            "Connection: Upgrade",
            "-H",
            "Upgrade: websocket",
        )
        found = self.explain(*key, "-H", "Sec-WebSocket-Version: 13", "http://a:9090/")
        self.assertIn("upgrade   to websocket", found)
        self.assertIn("Upgrade: websocket", found)
        self.assertIn("10.0.0.3", found)
        found = json.loads(self.explain("--json", *key, "http://a:9090/"))
        self.assertEqual((found["status"], found["server"]), (426, None))
        self.assertIn("version 13", found["reason"])

    def test_json(self) -> None:
        found = json.loads(self.explain("--json", "--client-ip", "192.0.2.1", "/users/7"))
        self.assertEqual((found["route"], found["pool"], found["captures"]), ("users", "users", {"id": "7"}))

    def test_protocol(self) -> None:
        """What the pool's servers speak is said, and the request is shown as it would be sent in it."""
        text = _TEXT.replace("pools:\n", "pools:\n  modern: {servers: ['192.0.2.9:1'], protocol: h2}\n")
        text = text.replace("routes:\n", "routes:\n      - {match: {path: /modern}, pool: modern}\n", 1)
        file = self.file(text)
        shown = self.balancer("explain", file, "-H", "X-One: 1", "/modern").stdout
        self.assertIn("modern  (speaks h2)", shown)
        self.assertIn("GET /modern HTTP/2\n", shown)
        self.assertIn(":authority: localhost\n", shown)
        self.assertIn("x-one: 1\n", shown)
        found = json.loads(self.balancer("explain", file, "--json", "/users/7").stdout)
        self.assertEqual((found["protocol"], found["request"]["version"]), ("http1", "1.1"))

    def test_chance(self) -> None:
        """With a seed what chance decides is the same each time; without, both pools are seen."""
        words = ("--json", "-H", "Host: canary.example", "/x")
        self.assertEqual(len({self.explain("--seed", "3", *words) for _ in range(3)}), 1)
        pools = {json.loads(self.explain("--seed", str(seed), *words))["pool"] for seed in range(20)}
        self.assertEqual(pools, {"users", "rest"})

    def test_nonsense(self) -> None:
        """What cannot be a request is refused with words."""
        for words in (("-H", "broken", "/"), ("--client-ip", "nobody", "/"), ("A", "B", "C")):
            found = self.balancer("explain", self.file(_TEXT), *words, status=1 if words[0] == "--client-ip" else 2)
            self.assertTrue(found.stderr)
        self.assertIn("400", self.explain("/a%zz"))
