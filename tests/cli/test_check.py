"""Tests for :mod:`balancer.cli.check`."""

from __future__ import annotations

from tests.cli.commands import ETC, CommandTestCase

_DOUBTFUL = """\
listeners:
  web:
    bind: 127.0.0.1:8080
    protocol: http
    routes:
      - {match: {path: /a/**}, pool: web}
      - {match: {path: /a/**, method: [GET, POST]}, pool: web, name: method}
      - {match: {path: /a/**}, pool: web, name: never}
pools:
  web: {servers: ["127.0.0.1:1"]}
  unused: {servers: ["127.0.0.1:1"]}
"""


_SESSIONS = """\
listeners:
  tls:
    bind: 127.0.0.1:8443
    protocol: tcp
    routes:
      - {name: shop, match: {sni: [shop.example, "*.shop.example"]}, pool: p}
      - {name: h2, match: {sni: shop.example, alpn: h2}, pool: p}
      - {name: never, match: {sni: "*.shop.example"}, pool: p}
pools: {p: {servers: ["127.0.0.1:1"]}}
"""


class CheckTests(CommandTestCase):
    def test_good(self) -> None:
        found = self.balancer("check", ETC / "balancer.yaml")
        self.assertRegex(found.stdout, r"balancer.yaml: ok, 1 listener, \d+ routes, \d+ pools\n$")
        self.assertEqual(found.stderr, "")

    def test_one_of_each(self) -> None:
        """What there is one of is counted in the singular."""
        file = self.file("listeners: {a: {bind: '*:1', pool: p}}\npools: {p: {servers: ['1.2.3.4:5']}}\n")
        self.assertEqual(self.balancer("check", file).stdout, f"{file}: ok, 1 listener, 1 route, 1 pool\n")

    def test_what_cannot_be_seen(self) -> None:
        """Characters that cannot be seen, or change how the rest is seen, are written as escapes."""
        lines = self.balancer("check", self.file("a\u202eb: 1\n"), status=1).stderr.splitlines()
        self.assertIn(r"""["a\u202eb"]: unknown key 'a\u202eb'""", lines[-2])
        self.assertNotIn("\u202e", "".join(lines))

    def test_every_error_with_its_place(self) -> None:
        """One line for each, in the order of the file, then their number; on standard error, with status 1."""
        file = self.file("listeners:\n  web:\n    bind: nowhere\n    protocol: htp\npoools: {}\n")
        lines = self.balancer("check", file, status=1).stderr.splitlines()
        self.assertEqual(
            [line.split(":")[1:3] for line in lines[:-1]], [["2", "3"], ["3", "11"], ["4", "15"], ["5", "1"]]
        )
        self.assertIn("pools", lines[3])
        self.assertEqual(lines[-1], "4 errors")

    def test_lint(self) -> None:
        """What is allowed but doubtful is named, with its place, and only with --lint."""
        file = self.file(_DOUBTFUL)
        self.balancer("check", file)
        lines = self.balancer("check", "--lint", file, status=1).stderr.splitlines()
        self.assertEqual(lines[-1].split()[1], "warnings")
        text = "\n".join(lines)
        for words in (":8:", "never", ":11:", "unused", "health"):
            self.assertIn(words, text)

    def test_lint_of_sessions(self) -> None:
        """Routes of TCP and UDP listeners that are never reached are named too."""
        file = self.file(_SESSIONS)
        lines = self.balancer("check", "--lint", file, status=1).stderr.splitlines()
        self.assertEqual(
            [line.partition(":")[2] for line in lines if "never" in line],
            [
                "8:9: listeners.tls.routes[2]: route 'never' can never be reached: 'shop' takes every session it could match"
            ],
        )

    def test_lint_of_filters(self) -> None:
        """A filter that lets nothing through is named, and so are mirrors that have nothing to do or too much."""
        filters = "filters: [{fault: {abort: {percent: 9}}}, {fault: {abort: {percent: 100}}}]"
        mirror = "filters: [{mirror: a}]"
        routes = f"{{pool: a, {mirror}, match: {{path: /a}}}}, {{respond: 404, {mirror}}}"
        web = f"{{bind: '127.0.0.1:1', routes: [{routes}], {filters}}}"
        file = self.file(f"listeners: {{web: {web}}}\npools: {{a: {{servers: ['127.0.0.1:2']}}}}\n")
        text = self.balancer("check", "--lint", file, status=1).stderr
        self.assertIn("listeners.web.filters[1]: every request is aborted", text)
        self.assertNotIn("web.filters[0]", text)
        self.assertIn("routes[0].filters[0]: pool 'a' gets the requests of this route already", text)
        self.assertIn("routes[1].filters[0]: nothing is mirrored", text)

    def test_no_such_file(self) -> None:
        for path in ("/nowhere/b.yaml", "/"):
            found = self.balancer("check", path, status=1)
            self.assertIn(path, found.stderr)
