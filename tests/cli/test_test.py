"""Tests for :mod:`balancer.cli.test`."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

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

    def test_beside(self) -> None:
        """Tests may be in a file beside the configuration, and in others that are named: lists, or under 'tests'."""
        file = self.file(_TEXT.partition("tests:")[0])
        beside = file.with_name(f"{file.stem}.tests.yaml")
        beside.write_text("tests:\n" + _ALL)
        self.assertIn("1 passed, 0 failed", self.balancer("test", file).stdout)
        more = self.file("- {name: more, request: {url: /api/}, expect: {pool: api}}\n")
        found = self.balancer("test", "-v", file, more, "--fail-under", "100").stdout
        self.assertIn("2 passed, 0 failed", found)
        self.assertIn("more", found)
        more.write_text("- {name: more, request: {url: /api/}, expect: {poool: api}}\n- {name: x}\n")
        problems = self.balancer("test", file, more, status=1).stderr
        self.assertRegex(problems, r":1:\d+: tests\[0\].*poool.*did you mean")
        self.assertIn("tests[1]", problems)
        self.assertIn("cannot read", self.balancer("test", file, "/nowhere.yaml", status=1).stderr)

    def test_whole_outcome(self) -> None:
        """The request as it would be sent, and what the balancer answers, can be expected too."""
        text = (
            _REWRITTEN
            + """\
tests:
  - name: as sent
    request: {url: "http://shop.example/api/x?y"}
    expect:
      request: {method: GET, target: {prefix: /api/}, host: shop.example, headers: {X-Team: api}}
  - name: short
    request: {url: /api/x}
    expect: {request: /api/x}
  - name: answered
    request: {url: /tea}
    expect: {status: 418, response_headers: {X-Pot: "1", X-No: {present: false}}, response_body: {contains: stout}}
"""
        )
        self.assertIn("3 passed, 0 failed", self.balancer("test", self.file(text)).stdout)
        wrong = (
            text.replace("prefix: /api/}", "prefix: /b/}")
            .replace("contains: stout", "contains: x")
            .replace("s: {X-Pot", "s: {X-Mug")
        )
        found = self.balancer("test", self.file(wrong), status=1).stdout
        self.assertIn("request target: expected prefix '/b/', got '/api/x?y'", found)
        self.assertIn("response header x-mug: expected '1', got none", found)
        self.assertIn("response body: expected contains 'x', got 'short and stout'", found)
        nothing = text.replace("expect: {status: 418, ", "expect: {request: /tea, ")
        self.assertIn("none is", self.balancer("test", self.file(nothing), status=1).stdout)

    def test_answers_of_servers(self) -> None:
        """What the client gets of a server's answer can be expected."""
        text = """\
listeners:
  web:
    bind: 127.0.0.1:8080
    routes:
      - {name: app, pool: app, filters: [{response: {status: {404: 410}, location: {"http://internal/": "/app/"}}}]}
pools: {app: {servers: ["10.0.0.1:80"], sticky: cookie}}
tests:
  - name: leads back
    request: {url: /x}
    answer: {status: 302, headers: {Location: "http://internal/y", X-A: ["1", "2"]}, body: away}
    expect: {pool: app, status: 302, location: /app/y, response_body: away, response_headers: {X-A: "2", Set-Cookie: {prefix: lb=}}}
  - name: gone
    request: {url: /x}
    answer: {status: 404}
    expect: {status: 410}
"""
        self.assertIn("2 passed, 0 failed", self.balancer("test", self.file(text)).stdout)
        found = self.balancer("test", self.file(text.replace("status: 410}", "status: 404}")), status=1).stdout
        self.assertIn("status: expected 404, got 410", found)

    def test_junit(self) -> None:
        """A report for CI servers, also of what failed."""
        report = Path(self.mktemp())
        self.balancer("test", "--junit", report, self.file(_TEXT + _WRONG.replace("wrong", '"wro\\u0001ng"')), status=1)
        suite = ElementTree.parse(report).getroot()
        self.assertEqual((suite.get("tests"), suite.get("failures")), ("2", "1"))
        failure = suite.find("testcase/failure")
        assert failure is not None
        self.assertIn("pool: expected 'rest', got 'api'", failure.get("message", ""))
        self.assertIn("/nowhere/", self.balancer("test", "--junit", "/nowhere/x", self.file(_TEXT), status=1).stderr)

    def test_sessions(self) -> None:
        """Sessions are decided too; from the first on, routes of TCP and UDP listeners count for the coverage."""
        found = self.balancer("test", "-v", self.file(_SESSIONS)).stdout
        self.assertIn("4 passed, 0 failed", found)
        self.assertIn("routes covered: 3 of 5 (60 %)", found)
        for route in ("web/web", "tls/wide"):
            self.assertIn(f"not covered: {route}", found)
        wrong = _SESSIONS.replace("alpn: [h2]}, expect: {route: shop", "alpn: [h3]}, expect: {route: shop")
        self.assertRegex(self.balancer("test", self.file(wrong), status=1).stdout, r"FAIL h2\n +route.*shop.*none")


_REWRITTEN = """\
listeners:
  web:
    bind: 127.0.0.1:8080
    protocol: http
    routes:
      - {name: api, match: {path: /api/**}, filters: [{headers: {request: {set: {X-Team: api}}}}], pool: api}
      - {name: tea, match: {path: /tea}, respond: {status: 418, body: short and stout, headers: { X-Pot: "1" } } }
pools:
  api: {servers: ["10.0.0.1:80"]}
"""
_SESSIONS = """\
listeners:
  web: {bind: "127.0.0.1:8080", pool: p}
  tls:
    bind: 127.0.0.1:8443
    protocol: tcp
    routes:
      - {name: shop, match: {sni: shop.example, alpn: h2}, pool: p}
      - {name: wide, match: {sni: "*.shop.example"}, pool: p}
  dns: {bind: "127.0.0.1:53", protocol: udp, pool: p}
  pg: {bind: "127.0.0.1:5432", protocol: tcp, pool: p}
pools: {p: {servers: ["10.0.0.1:1"]}}
tests:
  - {name: h2, request: {url: "tls://shop.example:8443", alpn: [h2]}, expect: {route: shop, pool: p}}
  - {name: no TLS, request: {url: "tcp://192.0.2.1:8443"}, expect: {action: none}}
  - {name: plain, request: {url: "tcp://192.0.2.1:5432"}, expect: {route: pg, server: "10.0.0.1:1"}}
  - {name: datagrams, request: {url: "udp://192.0.2.1:53"}, expect: {route: dns}}
"""
