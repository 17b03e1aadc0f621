"""Tests for :mod:`balancer.cli.replay`."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from tests.cli.commands import CommandTestCase

_OLD = """\
listeners:
  web:
    bind: 127.0.0.1:8080
    routes:
      - {name: api, match: {path: /api/**}, pool: api}
      - {name: shop, match: {host: shop.example}, split: {blue: 50, green: 50}}
      - {name: german, match: {headers: {Accept-Language: {prefix: de}}}, pool: german}
      - {name: rest, pool: rest}
  raw: {bind: "127.0.0.1:9000", protocol: tcp, pool: rest}
pools: {api: &p {servers: ["10.0.0.1:80"]}, blue: *p, green: *p, german: *p, rest: *p}
"""
_NEW = _OLD.replace("/api/**}, pool: api", "/api/v2/**}, pool: api").replace(
    "blue: 50, green: 50", "blue: 10, green: 90"
)


def _line(number: int, host: str, target: str, **more: Any) -> str:
    found = {"time": "x", "listener": "web", "client": "192.0.2.1", "client_port": 1, "method": "GET", "host": host}
    found |= {
        "target": target,
        "version": "1.1",
        "status": 200,
        "route": "rest",
        "pool": "rest",
        "request_id": f"id-{number}",
    }
    return json.dumps(found | more)


class ReplayTests(CommandTestCase):
    def replay(self, lines: list[str], *words: object, new: str = _NEW, status: int = 0) -> Any:
        log = Path(self.mktemp())
        log.write_text("\n".join(lines) + "\n")
        return self.balancer("replay", "--old", self.file(_OLD), "--new", self.file(new), log, *words, status=status)

    def test_summed_up(self) -> None:
        """What changes is counted by what it changes to, with an example; the rest is not named."""
        lines = [_line(n, "a.example", "/api/v1/x", route="api", pool="api") for n in range(3)]
        lines += [_line(n, "a.example", "/api/v2/x", route="api", pool="api") for n in range(5)]
        lines += [_line(9, "a.example", "/"), "damaged", json.dumps({"protocol": "tcp", "listener": "raw"})]
        found = self.replay(lines).stdout
        self.assertRegex(
            found,
            r"3 requests +api: api → rest: rest\n +route: api → rest\n +pool: api → rest\n +such as GET a.example/api/v1/x",
        )
        self.assertIn("9 requests decided, 3 differently", found)
        self.assertIn("left out: 1 session of TCP or UDP, 1 line that cannot be read", found)
        self.assertNotIn("another way", found)
        self.assertIn("0 differently", self.replay(lines, new=_OLD).stdout)

    def test_listed(self) -> None:
        """Each can be named, and the whole given to programs; the exit status can tell."""
        lines = [_line(n, "a.example", f"/api/v1/{n}", route="api", pool="api") for n in range(3)]
        found = self.replay(lines, "--list", "--exit-code", status=1).stdout
        for number in range(3):
            self.assertIn(f"GET a.example/api/v1/{number}\n", found)
        summed = json.loads(self.replay(lines, "--json").stdout)
        self.assertEqual((summed["compared"], summed["changed"], summed["changes"][0]["count"]), (3, 3, 3))
        *each, last = map(json.loads, self.replay(lines, "--json", "--list", "--most", "2").stdout.splitlines())
        self.assertEqual([one["request"] for one in each], ["GET a.example/api/v1/0", "GET a.example/api/v1/1"])
        self.assertEqual(last["compared"], 2)
        self.replay(lines, "--exit-code", new=_OLD)

    def test_chance(self) -> None:
        """Both draw alike, so that no more moves than the weights say."""
        lines = [_line(n, "shop.example", "/", route="shop", pool="blue") for n in range(400)]
        self.assertIn("0 differently", self.replay(lines, new=_OLD).stdout)
        changes = json.loads(self.replay(lines, "--json").stdout)["changes"]
        self.assertEqual([change["differences"] for change in changes], [["pool: blue → green"]])
        self.assertTrue(120 < changes[0]["count"] < 200, changes)

    def test_fields_of_the_log(self) -> None:
        """Conditions hold by the fields that the log has; where they are missing it says that something does not fit."""
        bare = _line(1, "a.example", "/", route="german", pool="german")
        full = _line(1, "a.example", "/", route="german", pool="german", headers={"accept-language": ["de-AT"]})
        self.assertIn("1 request went another way", self.replay([bare], new=_OLD).stdout)
        self.assertNotIn("another way", self.replay([full], new=_OLD).stdout)

    def test_other_formats(self) -> None:
        """Logs of nginx and Apache are read too, compressed ones, and several."""
        line = '192.0.2.1 - - [10/Oct/2025:13:55:36 +0000] "GET /api/v1/a\\x22b HTTP/1.1" 200 5 "-" "Mozilla/5.0"'
        found = self.replay([line, line.partition(' "-"')[0]], "--listener", "web")
        self.assertIn("2 requests decided, 2 differently", found.stdout)
        self.assertIn('such as GET localhost/api/v1/a"b', found.stdout)
        log = Path(self.mktemp())
        log.write_bytes(gzip.compress(line.encode()))
        words = ("replay", "--old", self.file(_OLD), "--new", self.file(_NEW))
        self.assertIn("2 requests decided", self.balancer(*words, log, log).stdout)

    def test_what_cannot_be(self) -> None:
        """No requests, no file, no listener: each is said."""
        self.assertIn("no requests in", self.replay(["damaged"], status=1).stderr)
        words = ("replay", "--old", self.file(_OLD), "--new", self.file(_NEW))
        self.assertIn("/nowhere", self.balancer(*words, "/nowhere", status=1).stderr)
        gone = self.replay([_line(1, "a.example", "/")], new=_NEW.replace("  web:", "  other:"))
        self.assertIn("its listener is gone", gone.stdout)
