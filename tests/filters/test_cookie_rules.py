"""Tests of what becomes of servers' cookies."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from twisted.trial import unittest

from balancer.filters.cookie_rules import CookieRules, CookieSettings
from tests.filters.test_own_names import asked


def changed(cookie: str, prefix: str = "/app", **settings: Any) -> str:
    exchange = asked(prefix)
    exchange.response_headers = [(b"X", b"a; Path=/app"), (b"set-cookie", cookie.encode())]
    CookieRules(CookieSettings.model_validate(settings)).change(exchange)
    assert exchange.response_headers[0] == (b"X", b"a; Path=/app")
    return exchange.response_headers[1][1].decode()


class CookieTests(unittest.TestCase):
    def test_domain(self) -> None:
        """Compared without case and leading dot; taken out where there is no new one."""
        rules = {"internal.example": "shop.example", "drop": ""}
        self.assertEqual(
            changed("a=b; Domain=.Internal.Example; Path=/", domain=rules), "a=b; Domain=shop.example; Path=/"
        )
        self.assertEqual(changed("a=b;domain=drop", domain=rules), "a=b")
        self.assertEqual(changed("a=b; Domain=x.internal.example", domain=rules), "a=b; Domain=x.internal.example")

    def test_path(self) -> None:
        """By what it begins with, whole segments."""
        for rules, path, expected in (
            ({"/two/": "/"}, "/two/x", "/x"),
            ({"/two": "/one"}, "/two", "/one"),
            ({"/two": "/one"}, "/twofold", "/twofold"),
            ({"/": "/app"}, "/", "/app"),
            ({"/": "/app"}, "/x", "/app/x"),
            ({"/a": "/b", "/": "/c"}, "/x", "/c/x"),
        ):
            self.assertEqual(changed(f"a=b; Path={path}", path=rules), f"a=b; Path={expected}")

    def test_path_turned_back(self) -> None:
        """As the prefix was replaced by ``rewrite``."""
        self.assertEqual(changed("a=b; path=/app/x", path=True), "a=b; Path=/shop/x")
        self.assertEqual(changed("a=b; Path=/", "", path=True), "a=b; Path=/shop/")
        self.assertEqual(changed("a=b; Path=/x", path=True), "a=b; Path=/x")

    def test_flags(self) -> None:
        """They are set once, or taken out."""
        self.assertEqual(
            changed("a=b; secure; Max-Age=5", secure=True, http_only=True), "a=b; Max-Age=5; Secure; HttpOnly"
        )
        self.assertEqual(changed("a=b; Secure; HttpOnly", secure=False), "a=b; HttpOnly")
        self.assertEqual(changed("a=b; SameSite=None", same_site="lax"), "a=b; SameSite=Lax")

    def test_values_are_not_touched(self) -> None:
        """What no rule means keeps its bytes, names and values above all."""
        cookie = 'a="x=1 y"; Expires=Wed, 21 Oct 2026 07:28:00 GMT;Path=/'
        self.assertEqual(changed(cookie, domain={"a": "b"}), cookie)

    def test_only(self) -> None:
        """Some cookies, by name or beginning."""
        for name, expected in (("sid", "sid=1; Secure"), ("app_x", "app_x=1; Secure"), ("other", "other=1")):
            self.assertEqual(changed(f"{name}=1", only=["sid", "app_*"], secure=True), expected)

    def test_refused(self) -> None:
        """What browsers would drop, and what would be more than one attribute."""
        for settings in (
            {"same_site": "none", "secure": False},
            {"domain": {"a": "b; Path=/"}},
            {"path": {"/a": "b"}},
            {"path": {"/a": "/b\r\nX: y"}},
            {"path": False},
        ):
            self.assertRaises(ValidationError, CookieSettings.model_validate, settings)

    def test_repr(self) -> None:
        """For operators."""
        self.assertEqual(repr(CookieRules(CookieSettings(secure=True, path=True))), "<CookieRules path secure>")
