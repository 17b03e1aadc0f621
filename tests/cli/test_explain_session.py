"""Tests for :mod:`balancer.cli.explain_session`."""

from __future__ import annotations

import json
from typing import Any

from tests.cli.commands import CommandTestCase

_TEXT = """\
listeners:
  web: {bind: "127.0.0.1:8080", pool: shop}
  tls:
    bind: ["192.0.2.9:443", "*:8443"]
    protocol: tcp
    routes:
      - {name: h2, match: {sni: shop.example, alpn: h2}, pool: shop}
      - {name: shop, match: {sni: ["*.shop.example", shop.example]}, pool: shop}
      - {name: inside, match: {client: 10.0.0.0/8, local_address: 192.0.2.9}, pool: rest}
      - {name: grpc, match: {sni: grpc.example, alpn: h2}, pool: rest}
  pg: {bind: "127.0.0.1:5432", protocol: tcp, pool: rest}
  dns: {bind: "127.0.0.1:53", protocol: udp, routes: [{name: inside, match: {client: 10.0.0.0/8}, pool: rest}]}
pools:
  shop: {servers: ["10.0.0.1:443", "10.0.0.2:443"], algorithm: maglev}
  rest: {servers: ["10.0.0.3:443"]}
"""


class ExplainSessionTests(CommandTestCase):
    def explain(self, *words: str, status: int = 0) -> str:
        found = self.balancer("explain", self.file(_TEXT), *words, status=status)
        return found.stderr if status else found.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.explain("--json", *words))

    def test_a_pool(self) -> None:
        """The listener, the route and why others do not, the pool, the server and why."""
        text = self.explain("tls://Shop.example:8443", "--alpn", "h2")
        for words in ("listener  tls", "route     h2", "pool      shop", "→ 10.0.0.", "with protocols h2"):
            self.assertIn(words, text)
        self.assertRegex(text, "shop +matches too, but a more specific route goes first")
        self.assertRegex(text, "inside +client 127.0.0.1 is not in 10.0.0.0/8")

    def test_what_is_asked_for(self) -> None:
        """The name by the URL or --sni, the protocols by --alpn; without any of them the client does not speak TLS."""
        for words, route in (
            (("tls://shop.example:8443",), "shop"),
            (("tls://shop.example:8443", "--sni", "x.shop.example"), "shop"),
            (("tcp://shop.example:8443",), None),
            (("tcp://192.0.2.1:8443", "--sni", "SHOP.example.", "--alpn", "h3", "--alpn", "h2"), "h2"),
            (("tcp://192.0.2.1:8443", "--alpn", "h2"), None),
            (("tls://192.0.2.1:8443",), None),
            (("tcp://192.0.2.9:443", "--client-ip", "10.1.1.1"), "inside"),
            (("tcp://anything:443", "--client-ip", "10.1.1.1"), "inside"),
            (("tcp://192.0.2.8:8443", "--client-ip", "10.1.1.1"), None),
            (("tcp://x:5432", "--sni", "shop.example"), "pg"),
            (("tcp://x", "--listener", "pg"), "pg"),
            (("udp://x:53", "--client-ip", "10.0.0.1"), "inside"),
        ):
            self.assertEqual(self.json(*words)["route"], route, words)

    def test_nobody(self) -> None:
        """What becomes of a session that no route takes."""
        for words, reason in (
            (("tcp://x:8443",), "the client is closed"),
            (("tls://other.example:8443",), "the client is closed with the TLS alert unrecognized_name"),
            (("tls://grpc.example:8443",), "the client is closed with the TLS alert no_application_protocol"),
            (("udp://x:53",), "its datagrams are dropped"),
        ):
            found = self.json(*words)
            self.assertEqual((found["action"], found["pool"], found["server"]), ("none", None, None))
            self.assertEqual(found["reason"], f"destination_not_found: no route takes it, {reason}")
        text = self.explain("tcp://x:8443", "--sni", "")
        self.assertIn("with server name (none)", text)
        self.assertRegex(text, "route +none matches\nclosed +destination_not_found")

    def test_nonsense(self) -> None:
        """What cannot be a session is refused with words."""
        for words, said in (
            (("tcp://",), "expected tcp://HOST:PORT"),
            (("tls://a:1/path",), "expected tls://HOST:PORT"),
            (("tls://a:99999999",), "Port out of range"),
            (("tcp://a:1", "--sni", "a b"), "expected a host name"),
            (("tcp://a:1", "--sni", "*.a"), "expected a server name"),
            (("tcp://a:1", "--client-ip", "nobody"), "nobody"),
            (("tcp://a:1", "--listener", "web"), "there is no TCP listener 'web'; TCP listeners: tls, pg"),
        ):
            self.assertIn(said, self.explain(*words, status=1))
        self.assertIn("no METHOD", self.explain("GET", "tcp://a:1", status=2))
        self.assertIn("are for sessions", self.explain("http://a/", "--sni", "a", status=2))
        web = "listeners: {web: {bind: '*:1', pool: p}}\npools: {p: {servers: ['a:1']}}"
        self.assertIn("no TCP listener", self.balancer("explain", self.file(web), "tcp://a:1", status=1).stderr)
