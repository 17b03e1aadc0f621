"""Tests of the response filter."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from twisted.trial import unittest
from zope.interface.verify import verifyObject

from balancer.filters.response import RESPONSE, Response, ResponseSettings
from balancer.hooks.interfaces import IFilter
from balancer.model.exchange import Exchange
from tests.filters.test_own_names import asked
from tests.routing.making import facts


def made(**settings: Any) -> Response:
    found = RESPONSE.build(ResponseSettings.model_validate(settings))
    assert isinstance(found, Response)
    return found


class ResponseTests(unittest.TestCase):
    def test_is_a_filter(self) -> None:
        """It wants no body, and streams."""
        verifyObject(IFilter, made(location=True))

    def test_status(self) -> None:
        """The first that fits."""
        filter_ = made(status={404: 410, "500-599": 503, "404-405": 400})
        for status, expected in ((404, 410), (405, 400), (500, 503), (200, 200)):
            exchange = Exchange(facts(), [])
            exchange.status = status
            filter_.response(exchange)
            self.assertEqual(exchange.status, expected)

    def test_headers_by_status(self) -> None:
        """Steps are about the status that came."""
        filter_ = made(
            status={500: 503},
            headers=[
                {"status": "500-599", "set": {"X-Came": "500"}, "remove": ["Server"]},
                {"status": 503, "set": {"X-No": "1"}},
            ],
        )
        exchange = Exchange(facts(), [])
        exchange.status, exchange.response_headers = 500, [(b"Server", b"x")]
        filter_.response(exchange)
        self.assertEqual((exchange.status, exchange.response_headers), (503, [(b"X-Came", b"500")]))

    def test_location_and_cookies(self) -> None:
        """Names are turned back; rules go first."""
        exchange = asked()
        exchange.status = 302
        exchange.response_headers = [(b"Location", b"/app/x"), (b"Set-Cookie", b"a=b; Path=/app")]
        made(location={"/app/x": "/y"}, cookies={"path": True}).response(exchange)
        self.assertEqual(exchange.response_headers, [(b"Location", b"/y"), (b"Set-Cookie", b"a=b; Path=/shop")])

    def test_refused(self) -> None:
        """What cannot work is refused when it is read."""
        for settings, words in (
            ({}, "at least one"),
            ({"location": False}, "at least one"),
            ({"status": {404: 304}}, "cannot be changed"),
            ({"status": {"200-299": 200}}, "206 says how"),
            ({"status": {404: 600}}, "from 200 to 599"),
            ({"status": {"4xx": 400}}, "expected a status"),
            ({"status": 404}, "by those of the server"),
            ({"headers": [{"set": {"A": "b"}}]}, "status"),
            ({"location": {"": "x"}}, "begin with"),
            ({"location": {"/a": "/b\r\n"}}, "line breaks"),
        ):
            self.assertRaisesRegex(ValidationError, words, ResponseSettings.model_validate, settings)

    def test_words(self) -> None:
        """For operators; names that only the route can give are known."""
        filter_ = made(
            status={404: 410, "500-502": 503},
            location=True,
            cookies={"secure": True},
            headers=[{"status": [404, "500-599"], "set": {"A": "{id}"}}],
        )
        words = (
            "status: 404 to 410, 500-502 to 503; with 404,500-599: set A; "
            "location: the server's names become the client's; cookies: secure"
        )
        self.assertEqual(filter_.describe(Exchange(facts(), [])), words)
        self.assertEqual(repr(filter_), f"<Response {words}>")
        self.assertEqual(filter_.captures, {"id"})
