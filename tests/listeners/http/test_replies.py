"""Tests of what the balancer itself answers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer import errors
from balancer.errors import ExchangeError
from balancer.listeners.http.replies import ends_connection, of_error, of_reply
from balancer.model.exchange import Reply


class ReplyTests(SynchronousTestCase):
    def test_with_a_body(self) -> None:
        """A reply with a body goes out as it is, dated, and says whose it is."""
        headers, body = of_reply(Reply(200, ((b"X", b"1"),), b"tea"), "id", "")
        self.assertEqual(
            (headers[0], [name for name, _ in headers], body), ((b"X", b"1"), [b"X", b"Proxy-Status", b"Date"], b"tea")
        )
        self.assertEqual(headers[1][1], b"balancer")

    def test_without_a_body(self) -> None:
        """One without gets a page in the form that the client prefers, and says in Proxy-Status whose answer it is."""
        headers, body = of_reply(
            Reply(403, (), None, "http_request_denied", "not for you"), "the-id", "application/json"
        )
        fields = dict(headers)
        self.assertEqual(fields[b"Content-Type"].split(b";")[0], b"application/problem+json")
        self.assertIn(b"http_request_denied", fields[b"Proxy-Status"])
        self.assertIn(b"the-id", body)
        self.assertIn(b"not for you", body)


class ErrorTests(SynchronousTestCase):
    def test_fields(self) -> None:
        """An error page says what a client may do about it."""
        full = dict(of_error(ExchangeError(errors.DESTINATION_UNAVAILABLE, "pool web"), "id", "")[0])
        self.assertEqual(full[b"Retry-After"], b"1")
        self.assertIn(b"destination_unavailable", full[b"Proxy-Status"])
        self.assertIn(b"GET", dict(of_error(ExchangeError(errors.HTTP_METHOD_REFUSED), "id", "")[0])[b"Allow"])

    def test_upgrade_required(self) -> None:
        """Who asks for another version of WebSocket is told which there is."""
        fields = of_error(ExchangeError(errors.HTTP_UPGRADE_REQUIRED), "id", "")[0]
        for field in ((b"Sec-WebSocket-Version", b"13"), (b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")):
            self.assertIn(field, fields)

    def test_ends_connection(self) -> None:
        """After a request that could not be read there is no place to read on from; after one that failed there is."""
        self.assertTrue(ends_connection(ExchangeError(errors.HTTP_REQUEST_ERROR)))
        self.assertTrue(ends_connection(ExchangeError(errors.HTTP_HEADERS_TOO_LARGE)))
        self.assertFalse(ends_connection(ExchangeError(errors.DESTINATION_NOT_FOUND)))
        self.assertFalse(ends_connection(ExchangeError(errors.DESTINATION_UNAVAILABLE)))
