"""Tests for :mod:`balancer.cli.explain`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.commands import CommandTestCase
from tests.tls.authority import Authority

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

    def test_terms(self) -> None:
        """How long, how often, and who says so; what is the default is not said in words."""
        file = self.file(
            _TEXT.replace(
                "method: [GET]}, pool: users", "method: [GET]}, pool: users, timeouts: {request: 2s}, coalesce: true"
            ).replace("algorithm: maglev", "algorithm: maglev, timeouts: {idle: 5s}, retry: {budget: 10%}")
        )
        text = self.balancer("explain", file, "/users/7").stdout
        for words in ("timeouts.request: 2s  (of the route)", "idle: 5s  (of the pool)", "budget: 10%  (of the pool)"):
            self.assertIn(words, text)
        self.assertNotIn("first_byte", text)
        self.assertIn("coalesce: with requests that are alike", text)
        text = self.balancer("explain", file, "-H", "Cookie: a=b", "/users/7").stdout
        self.assertIn("coalesce: no: it has a field Cookie", text)
        terms = json.loads(self.balancer("explain", file, "--json", "/users/7").stdout)["terms"]
        self.assertEqual(terms["timeouts.first_byte"], {"value": 60.0, "from": "default"})

    def test_answers(self) -> None:
        self.assertIn("301", self.explain("/old"))
        self.assertIn("/new", self.explain("/old"))
        self.assertIn("418", self.explain("/tea"))
        self.assertIn("none matches", self.explain("/nothing"))

    def test_answers_of_servers(self) -> None:
        """What the client would get of one, and who would get a copy of the request."""
        file = self.file(
            _TEXT.replace(
                "method: [GET]}, pool", "method: [POST]}, filters: [{mirror: {pool: rest, body_limit: 1B}}], pool"
            )
        )
        said = ("--answer", "302", "--answer-header", "Location: /x", "--answer-data", "away")
        text = self.balancer("explain", file, "-d", "ab", *said, "/users/7").stdout
        for words in ("copy      to rest: none, body_too_long", "the client gets 302", "Location: /x", "  away"):
            self.assertIn(words, text)
        found = json.loads(
            self.balancer("explain", file, "--json", "-d", "ab", "--answer-data", "a", "/users/7").stdout
        )
        self.assertEqual(found["response"], {"status": 200, "headers": [], "body": "a"})
        self.balancer("explain", file, "--answer", "99", "/users/7", status=2)

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

    def test_upgrade_on_a_stream(self) -> None:
        """Where the pool speaks HTTP/2 a WebSocket is asked for by an extended CONNECT, without the client's key."""
        text = _TEXT.replace("pools:\n", "pools:\n  modern: {servers: ['192.0.2.9:1'], protocol: h2}\n")
        file = self.file(text.replace("routes:\n", "routes:\n      - {match: {path: /modern}, pool: modern}\n", 1))
        fields = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
        words = [word for field in (*fields, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==") for word in ("-H", field)]
        shown = self.balancer("explain", file, *words, "/modern").stdout
        self.assertIn("upgrade   to websocket", shown)
        self.assertIn("CONNECT /modern HTTP/2\n", shown)
        self.assertIn(":protocol: websocket\n", shown)
        self.assertNotIn("dGhlIHNhbXBsZSBub25jZQ", shown.partition("as it would be sent")[2])

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


_TLS = """\
listeners:
  plain: {bind: "127.0.0.1:8080", redirect_https: 8443}
  web:
    bind: 127.0.0.1:8443
    hsts: true
    tls: {certificates: shop.pem, strict_sni: true, client_auth: {ca: ca.pem, mode: MODE}}
    routes:
      - {name: alice, match: {client_certificate: {subject: CN=alice}}, pool: app}
      - {name: rest, respond: 403}
pools: {app: {servers: ["10.0.0.1:80"]}}
"""


class TLSTests(CommandTestCase):
    """Requests that come by https."""

    def explain(self, *words: str, mode: str = "optional") -> str:
        file = self.file(_TLS.replace("MODE", mode))
        authority = Authority("CA")
        there = Path(file).parent
        authority.issue("shop.example").write(there / "shop.pem")
        authority.issue(subject="CN=alice", client=True).write(there / "alice.pem", there / "alice.key")
        (there / "ca.pem").write_bytes(authority.issued.cert)
        return self.balancer("explain", file, *(word.replace("DIR", str(there)) for word in words)).stdout

    def test_certificate(self) -> None:
        """Which certificate is shown, of what kind, for how long."""
        text = self.explain("https://shop.example/")
        self.assertRegex(text, r"shown +shop.pem \(ecdsa for shop.example; until .* UTC, 8\d days left\)")
        self.assertIn("hsts      max-age=31536000", text)
        self.assertIn("route     rest", text)
        found = json.loads(self.explain("--json", "https://shop.example/"))
        self.assertEqual([(each["name"], each["kind"]) for each in found["certificates"]], [("shop.pem", "ecdsa")])
        self.assertEqual((found["sni"], found["hsts"]), ("shop.example", "max-age=31536000"))

    def test_refused(self) -> None:
        """Handshakes that come to nothing, and why."""
        self.assertIn(
            "refused: no certificate is for other.example (strict_sni)", self.explain("https://other.example/")
        )
        self.assertIn("(client_auth)", self.explain("https://shop.example/", mode="require"))

    def test_client_certificate(self) -> None:
        """What a client shows decides, and goes to the server; what it says does not."""
        shown = ("https://shop.example/", "-H", "X-Client-Cert-Subject: CN=admin", "--client-cert", "DIR/alice.pem")
        text = self.explain(*shown)
        self.assertIn("route     alice", text)
        self.assertIn("X-Client-Cert-Subject: CN=alice", text)
        self.assertNotIn("admin", text)
        self.assertIn("route     rest", self.explain(*shown[:3]))

    def test_redirect(self) -> None:
        """The filter that sends clients to https."""
        text = self.explain("http://shop.example/a?b")
        self.assertIn("redirect_https (listener): redirects to https on port 8443 with 308", text)
        self.assertIn("location  https://shop.example:8443/a?b", text)
        self.assertNotIn("none matches", text)
