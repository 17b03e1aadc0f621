"""Tests of who is asked whether bodies are changed."""

from __future__ import annotations

from twisted.trial import unittest

from balancer.filters.bodies import ask_for_request, ask_for_response, is_plain, weaken
from balancer.model.exchange import Exchange, Transform
from balancer.model.headers import RawHeaders
from tests.routing.making import facts


class _Shout:
    """A filter that shouts."""

    def feed(self, data: bytes) -> bytes:
        return data.upper()

    def end(self, trailers: RawHeaders | None) -> tuple[bytes, RawHeaders | None]:
        return b"!", trailers

    def request_body(self, exchange: Exchange) -> Transform:
        return self

    response_body = request_body


class BodiesTests(unittest.TestCase):
    def test_requests(self) -> None:
        """Those with a body that is not compressed."""
        for method, headers, asked in (
            ("POST", (("Transfer-Encoding", "chunked"),), True),
            ("GET", (("Content-Length", "5"),), True),
            ("GET", (), False),
            ("POST", (), True),
            ("PUT", (("Content-Length", "0"),), False),
            ("POST", (("Content-Encoding", "gzip"),), False),
        ):
            request = facts("/", method, headers=headers)
            exchange = Exchange(request, list(request.headers))
            ask_for_request(_Shout(), exchange)
            self.assertEqual(exchange.request_transform is not None, asked, (method, headers))

    def test_collected(self) -> None:
        """A body that is here is changed at once."""
        exchange = Exchange(facts(), [])
        exchange.body = b"a"
        ask_for_request(_Shout(), exchange)
        self.assertEqual(exchange.body, b"A!")

    def test_responses(self) -> None:
        """Whole bodies, not compressed; the head follows."""
        for status, asked in ((200, True), (500, True), (206, False), (204, False), (304, False)):
            exchange = Exchange(facts(), [])
            exchange.status, exchange.response_headers = status, [(b"etag", b'"a"'), (b"Digest", b"x")]
            ask_for_response(_Shout(), exchange)
            self.assertEqual(exchange.response_transform is not None, asked)
            self.assertEqual(exchange.response_headers == [(b"etag", b'W/"a"')], asked)

    def test_others(self) -> None:
        """A filter without the methods is not asked."""
        exchange = Exchange(facts("/", "POST"), [])
        exchange.status = 200
        ask_for_request(object(), exchange)
        ask_for_response(object(), exchange)
        self.assertIsNone(exchange.request_transform)
        self.assertIsNone(exchange.response_transform)

    def test_codings(self) -> None:
        """``identity`` is none."""
        self.assertTrue(is_plain([(b"Content-Encoding", b"identity")]))
        self.assertFalse(is_plain([(b"content-encoding", b"br")]))

    def test_weaken(self) -> None:
        """Once."""
        headers = [(b"ETag", b'W/"a"')]
        weaken(headers)
        self.assertEqual(headers, [(b"ETag", b'W/"a"')])
