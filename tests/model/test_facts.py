"""Tests for :mod:`balancer.model.facts`, and the keys made of facts."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer import testing
from balancer.model.keys import Key
from balancer.model.target import BadTargetError


class FactsTests(SynchronousTestCase):
    def test_host(self) -> None:
        """Lower case, without port and final dot; an absolute target goes before Host."""
        for host, found in (
            ("Shop.Example.:8080", ("shop.example", 8080)),
            ("[::1]:80", ("::1", 80)),
            ("", ("", None)),
        ):
            self.assertEqual(testing.facts(headers={"Host": host}).authority, found)
        facts = testing.facts("/")
        facts.target = "http://Other.example/x"
        self.assertEqual((facts.host, facts.path), ("other.example", "/x"))
        for host in ("a:b", "a:99999", "a:٣"):
            wrong = testing.facts(headers=[("Host", host.encode("utf-8").decode("latin-1"))])
            self.assertRaises(BadTargetError, lambda wrong=wrong: wrong.host)

    def test_query(self) -> None:
        facts = testing.facts("/p?a=1&b=x+y&a=2&c&&d=%C3%A9&e=%zz&f=a=b")
        self.assertEqual(
            facts.query,
            {"a": ["1", "2"], "b": ["x y"], "c": [""], "d": ["é"], "e": ["%zz"], "f": ["a=b"]},
        )

    def test_cookies(self) -> None:
        """Over several fields, quotes taken off, the first of a name, what is no cookie left out."""
        headers = [("Cookie", 'a=1; b="x y"; broken; a=2'), ("cookie", "c=; d==")]
        self.assertEqual(testing.facts(headers=headers).cookies, {"a": "1", "b": "x y", "c": "", "d": "="})

    def test_headers(self) -> None:
        facts = testing.facts(headers=[("X-A", "1"), ("x-a", "2")])
        self.assertEqual((facts.header("x-a"), facts.header_values("x-a")), ("1", ["1", "2"]))
        facts = testing.facts(headers=[("X-A", "1 \t")])
        self.assertEqual(facts.header("x-a"), "1")  # blanks around a value are none of it (RFC 9110 section 5.5)
        self.assertIsNone(facts.header("x-b"))

    def test_paths(self) -> None:
        """Normalised and decoded; what different software reads differently is refused."""
        for target, path in (
            ("/a//b/./c/../d", "/a/b/d"),
            ("/%61%2e%2e/x", "/a../x"),
            ("/a/..", "/"),
            ("/a/b/", "/a/b/"),
            ("/caf%C3%A9", "/café"),
            ("/%ff", "/\udcff"),
        ):
            self.assertEqual(testing.facts(target).path, path)
        for target in ("/..", "/a%2fb", "/a%5cb", "/a\\b", "/%00", "/%zz", "/a/../../b"):
            self.assertRaises(BadTargetError, lambda target=target: testing.facts(target).path)


class KeyTests(SynchronousTestCase):
    def test_of_requests(self) -> None:
        facts = testing.facts("/p?u=7", headers={"Host": "A.example", "X-User": "ann", "Cookie": "s=1"})
        for key, value in (
            (Key(), b"192.0.2.1"),
            (Key("client_port"), b"192.0.2.1:40000"),
            (Key("host"), b"a.example"),
            (Key("path"), b"/p"),
            (Key("target"), b"/p?u=7"),
            (Key("method"), b"GET"),
            (Key("header", "X-User"), b"ann"),
            (Key("cookie", "s"), b"1"),
            (Key("query", "u"), b"7"),
            (Key("query", "none"), None),
            (Key("cookie", "none"), None),
        ):
            self.assertEqual(key.of(facts), value, key)

    def test_of_sessions(self) -> None:
        self.assertEqual(Key("client_ip").of(testing.session()), b"192.0.2.1")
        self.assertIsNone(Key("path").of(testing.session()))

    def test_names(self) -> None:
        self.assertRaises(ValueError, Key, "header")
        self.assertRaises(ValueError, Key, "host", "x")
        self.assertEqual(str(Key("header", "X")), "header:X")
