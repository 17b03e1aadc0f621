"""Tests of the rewrite filter: alone, on routes, and as it is explained."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from twisted.trial import unittest
from zope.interface.verify import verifyObject

from balancer import testing
from balancer.errors import ConfigurationError
from balancer.filters.rewrite import REWRITE, Rewrite, RewriteSettings, prefixes_of
from balancer.hooks.interfaces import IFilter
from balancer.model.exchange import Exchange, Reply
from balancer.model.facts import RequestFacts
from balancer.service.lint import lint_routes
from tests.routing.making import facts, route


def made(**settings: Any) -> Rewrite:
    found = REWRITE.build(RewriteSettings.model_validate(settings))
    assert isinstance(found, Rewrite)
    return found


def run(sent: RequestFacts, pattern: str | None = None, **settings: Any) -> tuple[Exchange, Reply | None]:
    exchange = Exchange(sent, list(sent.headers), "r")
    if pattern is not None:
        exchange.entry = route("r", path=pattern)
        exchange.captures = exchange.entry.matched(sent).captures(sent.path)
    return exchange, made(**settings).request(exchange)


def target(sent: str, pattern: str | None = None, **settings: Any) -> str:
    exchange, reply = run(facts(sent), pattern, **settings)
    assert reply is None, reply
    return exchange.target


class RewriteTests(unittest.TestCase):
    def test_is_a_filter(self) -> None:
        """It wants no body, and streams."""
        verifyObject(IFilter, made(host="b"))

    def test_path_and_query(self) -> None:
        """Each is changed by itself; the other keeps its bytes."""
        self.assertEqual(target("/a/b%20?x=%7E&&y", "/a/**", path={"prefix": "/n"}), "/n/b%20?x=%7E&&y")
        self.assertEqual(target("/a//%7E?x=1&y=2", query={"remove": ["x"]}), "/a//%7E?y=2")
        self.assertEqual(target("/a?", "/a/**", path={"prefix": "/n"}), "/n?")
        self.assertEqual(target("/a?x=1", query={"remove": ["x"]}), "/a")
        self.assertEqual(target("/a", query={"set": {"x": "1"}}), "/a?x=1")

    def test_several_paths(self) -> None:
        """Of several paths of a route that one counts which matched."""
        request = facts("/b/c/d")
        exchange = Exchange(request, [], "r")
        exchange.entry = route("r", path=["/a/**", "/b/c/**"])
        made(path={"prefix": "/n"}).request(exchange)
        self.assertEqual(exchange.target, "/n/d")
        self.assertEqual(prefixes_of(exchange), ("/n", "/b/c"))

    def test_groups_go_to_query_and_host(self) -> None:
        """What the path's expression captures can be used beside it."""
        exchange, _ = run(
            facts("/t-one/show/7?y=1"),
            path={"regex": "^/t-(?P<tenant>[a-z]+)/show/(?P<id>[0-9]+)$", "with": "/show"},
            query={"set": {"id": "{id}"}},
            host="{tenant}.internal:8080",
        )
        self.assertEqual(exchange.target, "/show?y=1&id=7")
        self.assertEqual(dict(exchange.headers)[b"Host"], b"one.internal:8080")

    def test_host(self) -> None:
        """There is one Host; what is none is refused."""
        exchange, _ = run(facts("/"), host="b.example:81")
        self.assertEqual(exchange.headers, [(b"Host", b"b.example:81")])
        for value in ("a b", "a\r\nX: y", "a/b", "", "a@b"):
            request = facts("/", headers=(("X-Host", value),))
            reply = made(host="{header:X-Host}").request(Exchange(request, list(request.headers)))
            assert reply is not None
            self.assertEqual(reply.status, 400)

    def test_method(self) -> None:
        """HEAD stays what it is: its responses have no body."""
        for sent, expected in (("GET", "PUT"), ("HEAD", "HEAD")):
            request = facts("/", sent)
            exchange = Exchange(request, [])
            made(method="PUT").request(exchange)
            self.assertEqual(exchange.method, expected)

    def test_no_path_at_all(self) -> None:
        """``OPTIONS *`` has neither path nor query."""
        self.assertEqual(target("*", path={"prefix": "/n"}, query={"set": {"a": "1"}}), "*")

    def test_what_cannot_be_sent(self) -> None:
        """400, with a reason."""
        _, reply = run(facts("/a/.x./b"), path={"regex": "x", "with": ""})
        assert reply is not None
        self.assertEqual((reply.status, reply.detail), (400, "a dot segment in the rewritten path"))

    def test_settings(self) -> None:
        """What cannot work is refused when it is read."""
        for settings, words in (
            ({}, "at least one"),
            ({"host": "a b"}, "expected a host"),
            ({"host": "{"}, "expected {name}"),
            ({"method": "A B"}, "expected a method"),
            ({"method": "HEAD"}, "read as those of GET"),
            ({"path": "x"}, "begins with"),
        ):
            self.assertRaisesRegex(ValidationError, words, RewriteSettings.model_validate, settings)

    @given(st.text("/a.%2eEfF?&=\\\x00\r\n:@ \xe9", max_size=20))
    def test_is_always_a_target(self, text: str) -> None:
        """Whatever is asked for, what is sent is one path with one query on one line."""
        request = facts("/" + text)
        try:
            request.path  # noqa: B018 - the walk refuses what is none
        except ValueError:
            return
        for settings in (
            {"path": {"prefix": ""}},
            {"path": {"regex": "a|(//)|f", "with": ""}},
            {"path": "/n/{path}/**", "query": {"rename": {"a": "b"}}},
        ):
            exchange = Exchange(request, [])
            if made(**settings).request(exchange) is None and exchange.target != request.target:
                self.assertRegex(exchange.target, r"\A/(?!/)[\x21-\xff]*\Z")

    def test_words(self) -> None:
        """For operators."""
        filter_ = made(path={"prefix": "/n"}, query={"remove": ["u_*"]}, host="b", method="PUT")
        words = "path: prefix to /n; query: remove u_*; host: b; method: PUT"
        self.assertEqual(filter_.describe(Exchange(facts(), [])), words)
        self.assertEqual(repr(filter_), f"<Rewrite {words}>")


_TEXT = """
listeners:
  web:
    bind: 127.0.0.1:80
    filters: [FIRST]
    routes:
      - match: {path: PATH}
        filters: [{rewrite: SETTINGS}]
        ACTION
pools:
  web: {servers: [127.0.0.1:81]}
"""


def configured(settings: str, path: str = "/a/**", action: str = "pool: web", first: str = "") -> testing.Configured:
    text = _TEXT.replace("SETTINGS", settings).replace("PATH", path).replace("ACTION", action)
    return testing.Configured(text.replace("FIRST", first))


class OnRoutesTests(unittest.TestCase):
    """In a configuration."""

    def test_explained(self) -> None:
        """The request is shown as it goes out, and what the filter does."""
        found = configured("{path: {prefix: /n}, host: b, query: {set: {id: '{id}'}}}", "'/a/{id}/**'").ask("/a/7/c?x")
        assert found.request is not None
        self.assertEqual(found.request["target"], "/n/c?x&id=7")
        self.assertIn(["Host", "b"], found.request["headers"])
        self.assertIn(
            {"at": "route", "filter": "rewrite", "does": "path: prefix to /n; query: set id; host: b"}, found.filters
        )

    def test_absolute_form(self) -> None:
        """The path of a URL as target is changed like any other."""
        found = configured("{path: {prefix: /n}}").ask("http://x.example/a/b?c")
        assert found.request is not None
        self.assertEqual(found.request["target"], "/n/b?c")

    def test_explained_refusal(self) -> None:
        """So is what cannot be sent."""
        found = configured("{path: {regex: x, with: ''}}").ask("/a/.x./b")
        self.assertEqual((found.status, found.reason), (400, "a dot segment in the rewritten path"))

    def test_two(self) -> None:
        """One works on what another has made; the listener's, before the route is chosen, do not change which that is."""
        found = configured("{path: {regex: ^/v1/a, with: /b}}", "/a/**", first="{rewrite: {path: {prefix: /v1}}}").ask(
            "/a/x"
        )
        assert found.request is not None
        self.assertEqual(found.request["target"], "/b/x")

    def test_unknown_names(self) -> None:
        """Names that the path does not capture are errors, at their place."""
        for settings, path in (
            ("{path: '/{id}'}", "/a"),
            ("{host: '{id}'}", "/a"),
            ("{query: {set: {a: '{id}'}}}", "/a"),
        ):
            error = self.assertRaises(ConfigurationError, configured, settings, path)
            self.assertRegex(str(error), "8:.*unknown name {id}")
        error = self.assertRaises(ConfigurationError, configured, "{host: b}", first="{rewrite: {host: '{id}'}}")
        self.assertRegex(str(error), "5:.*unknown name {id}")

    def test_no_prefix(self) -> None:
        """Where a path of the route has no prefix, none can be replaced."""
        for path in ("/a", "[/a/**, /b]", "{regex: ^/a}", "'/a/{id}'"):
            error = self.assertRaises(ConfigurationError, configured, "{path: {prefix: /n}}", path)
            self.assertRegex(str(error), "8:.*to end in '/\\*\\*'")

    def test_lint(self) -> None:
        """What can do nothing is named."""
        for settings, path, action, expected in (
            ("{path: {prefix: /a/}}", "/a/**", "pool: web", "by itself"),
            ("{path: {prefix: /}}", "/**", "pool: web", "by itself"),
            ("{host: b}", "/a", "respond: 200", "the route answers itself, with 'respond'"),
            ("{path: {prefix: /b}}", "/a/**", "pool: web", ""),
            ("{path: {prefix: /a}, host: b}", "/a/**", "pool: web", ""),
        ):
            found = [str(each) for each in lint_routes(configured(settings, path, action).snapshot)]
            self.assertEqual(len(found), bool(expected), (settings, found))
            self.assertIn(expected, "".join(found))
