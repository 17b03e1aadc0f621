"""Tests of the body filter."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from twisted.trial import unittest
from zope.interface.verify import verifyObject

from balancer import testing
from balancer.errors import ExchangeError
from balancer.filters.body import BODY, Body, BodySettings
from balancer.filters.chain import run_requests, run_responses
from balancer.hooks.interfaces import IBodyFilter
from balancer.model.exchange import Exchange, Reply
from balancer.model.headers import RawHeaders
from tests.routing.making import facts


def made(**settings: Any) -> Body:
    found = BODY.build(BodySettings.model_validate(settings))
    assert isinstance(found, Body)
    return found


def answered(
    filter_: Body, body: bytes, *headers: tuple[bytes, bytes], status: int = 200
) -> tuple[bytes | None, RawHeaders]:
    """Return what becomes of a response: None for a body that passes untouched."""
    request = facts("/", headers=(("Range", "bytes=0-1"), ("If-Range", '"x"'), ("Accept-Encoding", "gzip")))
    exchange = Exchange(request, list(request.headers))
    assert run_requests([filter_], exchange) is None
    exchange.status, exchange.response_headers = status, list(headers)
    run_responses(exchange)
    transform = exchange.response_transform
    if transform is None:
        return None, exchange.response_headers
    return transform.feed(body) + transform.end(None)[0], exchange.response_headers


HTML = (b"Content-Type", b"text/html; charset=utf-8")
JSON = (b"Content-Type", b"application/problem+json")
LINKS = {"replace": [{"text": "http://in/", "with": "https://out/"}, {"regex": "o(u)t", "with": "\\1"}]}


class ResponseTests(unittest.TestCase):
    def test_is_a_filter(self) -> None:
        """It streams."""
        verifyObject(IBodyFilter, made(response=LINKS))

    def test_text(self) -> None:
        """Replacements, one after the other; the head says what was done."""
        body, headers = answered(
            made(response=LINKS), b"<a href=http://in/>", HTML, (b"ETag", b'"x"'), (b"Accept-Ranges", b"bytes")
        )
        self.assertEqual(body, b"<a href=https://u/>")
        self.assertEqual(headers, [HTML, (b"ETag", b'W/"x"')])

    def test_untouched(self) -> None:
        """Other types, parts, compressed bodies, and text that is not found by its bytes."""
        for kind, more, status in (
            (b"image/png", (b"X", b"y"), 200),
            (b"text/html", (b"Content-Encoding", b"gzip"), 200),
            (b"text/html", (b"X", b"y"), 206),
            (b"text/html; charset=UTF-16LE", (b"X", b"y"), 200),
            (b"", (b"X", b"y"), 200),
        ):
            body, headers = answered(
                made(response=LINKS), b"x", (b"Content-Type", kind), more, (b"ETag", b'"x"'), status=status
            )
            self.assertIsNone(body)
            self.assertIn((b"ETag", b'"x"'), headers)

    def test_not_changed(self) -> None:
        """304 is about what was changed when it was sent."""
        self.assertEqual(
            answered(made(response=LINKS), b"", (b"ETag", b'"x"'), status=304), (None, [(b"ETag", b'W/"x"')])
        )

    def test_asks_for_what_can_be_changed(self) -> None:
        """The server is asked for a whole body, as it is; for nothing else where only requests are changed."""
        request = facts("/", headers=(("Range", "bytes=0-1"), ("Accept-Encoding", "gzip, br")))
        exchange = Exchange(request, list(request.headers))
        run_requests([made(response=LINKS)], exchange)
        self.assertEqual(exchange.headers[1:], [(b"Accept-Encoding", b"identity")])
        exchange = Exchange(request, list(request.headers))
        run_requests([made(request=LINKS)], exchange)
        self.assertEqual(exchange.headers, request.headers)

    def test_json(self) -> None:
        """Collected, changed, then text is replaced in it."""
        filter_ = made(response={"json": {"wrap": "d"}, "replace": [{"text": "a", "with": "b"}]})
        self.assertEqual(answered(filter_, b'{"a": 1}', JSON)[0], b'{"d":{"b":1}}')
        self.assertEqual(answered(filter_, b"", JSON)[0], b"")

    def test_json_that_is_none(self) -> None:
        """It is refused, or passes."""
        for body in (b"{", b'"12345678901"'):
            filter_ = made(response={"json": {"wrap": "d"}, "limit": 10})
            error = self.assertRaises(ExchangeError, answered, filter_, body, JSON)
            self.assertEqual(error.reason.status, 502)
            filter_ = made(response={"json": {"wrap": "d"}, "limit": 10, "otherwise": "pass"})
            self.assertEqual(answered(filter_, body, JSON)[0], body)

    def test_two_filters(self) -> None:
        """The one nearest to the server goes first."""
        exchange = Exchange(facts(), [])
        first = made(response={"replace": [{"text": "b", "with": "c"}]})
        second = made(response={"replace": [{"text": "a", "with": "b"}]})
        run_requests([first, second], exchange)
        exchange.status, exchange.response_headers = 200, [HTML]
        run_responses(exchange)
        assert exchange.response_transform is not None
        self.assertEqual(exchange.response_transform.feed(b"ab"), b"cc")
        self.assertEqual(exchange.response_transform.end(None), (b"", None))


class RequestTests(unittest.TestCase):
    def sent(
        self, filter_: Body, body: bytes | None, *headers: tuple[str, str], method: str = "POST"
    ) -> tuple[Exchange, Reply | None]:
        request = facts("/", method, headers=headers)
        exchange = Exchange(request, list(request.headers))
        exchange.body = body
        outcome = run_requests([filter_], exchange)
        assert outcome is None or isinstance(outcome, Reply)
        return exchange, outcome

    def test_streams(self) -> None:
        """Where nobody has collected it."""
        exchange, _ = self.sent(made(request=LINKS), None, ("Content-Type", "text/plain"), ("Content-Length", "9"))
        assert exchange.request_transform is not None
        self.assertEqual(exchange.request_transform.feed(b"http://in/\nx"), b"https://u/\n")
        self.assertEqual(exchange.request_transform.end(None), (b"x", None))

    def test_collected(self) -> None:
        """Where somebody has."""
        filter_ = made(request={"json": {"set": {"/a": 1}}})
        exchange, _ = self.sent(filter_, b"{}", ("Content-Type", "application/json"), ("Content-Digest", "x"))
        self.assertEqual((exchange.body, exchange.request_transform), (b'{"a":1}', None))
        self.assertEqual([name for name, _ in exchange.headers], [b"Host", b"Content-Type"])

    def test_none(self) -> None:
        """A request without a body has none to change."""
        for body, method, headers in ((None, "GET", ()), (b"", "POST", ()), (None, "POST", (("Content-Length", "0"),))):
            exchange, _ = self.sent(made(request=LINKS), body, ("Content-Type", "text/plain"), *headers, method=method)
            self.assertIsNone(exchange.request_transform)

    def test_refused(self) -> None:
        """Too long by what it says, or no JSON: an answer of ours."""
        filter_ = made(request={"json": {"wrap": "d"}, "limit": 5})
        kind = ("Content-Type", "application/json")
        _, reply = self.sent(filter_, None, kind, ("Content-Length", "6"))
        assert reply is not None
        self.assertEqual(reply.status, 413)
        _, reply = self.sent(filter_, b"{", kind)
        assert reply is not None
        self.assertEqual(reply.status, 400)


_TEXT = """
listeners:
  web:
    bind: 127.0.0.1:80
    filters: [{body: {request: {json: {set: {/a: 1}, remove: [/b]}, limit: 100}, response: {replace: [{text: a, with: b}]}}}]
    routes: [{pool: web}]
pools:
  web: {servers: [127.0.0.1:81]}
"""


class ExplainedTests(unittest.TestCase):
    def test_request(self) -> None:
        """The body is shown as it would be sent, in chunks, as it is live."""
        balancer = testing.Configured(_TEXT)
        kind = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
        found = balancer.ask("/", "POST", kind, body='{"b": 2}')
        assert found.request is not None
        self.assertEqual(found.request["body"], '{"a":1}')
        self.assertIn(["Transfer-Encoding", "chunked"], found.request["headers"])
        self.assertIn(["Accept-Encoding", "identity"], found.request["headers"])
        self.assertEqual(found.filters[0]["filter"], "body")

    def test_refused(self) -> None:
        """So is what would be refused."""
        balancer = testing.Configured(_TEXT)
        kind = {"Content-Type": "application/json"}
        self.assertEqual(balancer.ask("/", "POST", kind, body="{" + " " * 100).status, 413)
        self.assertEqual(balancer.ask("/", "POST", kind, body="{").status, 400)

    def test_untouched(self) -> None:
        """What is of another type has its length."""
        found = testing.Configured(_TEXT).ask("/", "POST", {"Content-Type": "text/plain"}, body="x")
        assert found.request is not None
        self.assertNotIn("body", found.request)
        self.assertIn(["Content-Length", "1"], found.request["headers"])


class SettingsTests(unittest.TestCase):
    def test_refused(self) -> None:
        """What cannot work is refused when it is read."""
        cases: tuple[tuple[dict[str, Any], str], ...] = (
            ({}, "at least one of 'json'"),
            ({"replace": [{"with": "a"}]}, "either 'text' or 'regex'"),
            ({"replace": [{"text": "a", "regex": "b", "with": "a"}]}, "either 'text' or 'regex'"),
            ({"replace": [{"text": "a", "with": "a", "across": 5}]}, "with a 'regex'"),
            ({"replace": [{"regex": "a*", "with": "a"}]}, "not found in nothing"),
            ({"replace": [{"regex": "a", "with": "\\1"}]}, "group"),
            ({"replace": [{"text": "", "with": "a"}]}, "at least 1"),
            ({**LINKS, "types": ["html"]}, "expected a type"),
        )
        for settings, words in cases:
            self.assertRaisesRegex(ValidationError, words, BodySettings.model_validate, {"request": settings})
        self.assertRaisesRegex(ValidationError, "at least one of 'request'", BodySettings.model_validate, {})

    def test_words(self) -> None:
        """For operators."""
        filter_ = made(request={"json": {"wrap": "a"}}, response={**LINKS, "types": ["text/html"]})
        words = "request: json wrap in application/json, application/*+json; response: 2 replacements in text/html"
        self.assertEqual(filter_.describe(Exchange(facts(), [])), words)
        self.assertEqual(repr(filter_), f"<Body {words}>")
