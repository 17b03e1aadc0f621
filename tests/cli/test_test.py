"""Tests for :mod:`balancer.cli.test`."""

from __future__ import annotations

from tests.cli.commands import CommandTestCase

_TEXT = """\
listeners:
  web:
    bind: 127.0.0.1:8080
    protocol: http
    routes:
      - {name: api, match: {path: /api/**}, pool: api}
      - {name: rest, pool: rest}
pools:
  api: {servers: ["10.0.0.1:80"]}
  rest: {servers: ["10.0.0.2:80"]}
tests:
  - {name: the API, request: {url: /api/x}, expect: {route: api, pool: api}}
"""
_WRONG = "  - {name: wrong, request: {url: /api/x}, expect: {pool: rest}}\n"
_ALL = "  - {name: the rest, request: {url: /}, expect: {route: rest}}\n"


class TestTests(CommandTestCase):
    def test_pass(self) -> None:
        """Only failures are named; coverage says which routes no test reaches."""
        found = self.balancer("test", self.file(_TEXT)).stdout
        self.assertIn("1 passed, 0 failed", found)
        self.assertIn("routes covered: 1 of 2 (50 %)", found)
        self.assertIn("not covered: web/rest", found)
        self.assertNotIn("the API", found)
        self.assertIn("the API", self.balancer("test", "-v", self.file(_TEXT)).stdout)

    def test_fail(self) -> None:
        """A failure is named with what was expected and what was found, and ends with 1."""
        found = self.balancer("test", self.file(_TEXT + _WRONG), status=1).stdout
        self.assertRegex(found, r"FAIL wrong\n +.*rest.*api")

    def test_fail_under(self) -> None:
        self.balancer("test", "--fail-under", "60", self.file(_TEXT), status=1)
        self.balancer("test", "--fail-under", "100", self.file(_TEXT + _ALL))

    def test_no_tests(self) -> None:
        found = self.balancer("test", self.file(_TEXT.partition("tests:")[0]), status=1)
        self.assertIn("no routing tests", found.stderr)
