"""Tests of the opening handshake."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.errors import ExchangeError
from balancer.wire.websocket.handshake import accept_for, check_request, check_response, is_extended, is_websocket

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
ASKED = [(b"Sec-WebSocket-Version", b"13"), (b"Sec-WebSocket-Key", KEY)]


class RequestTests(SynchronousTestCase):
    def test_who_asks(self) -> None:
        """WebSocket is asked for in any case, alone or among others."""
        for value in (b"websocket", b"WebSocket", b"foo, websocket", b"websocket,foo"):
            self.assertTrue(is_websocket(value))
        for value in (b"foo", b"websocket/13", b"websockets", b"TLS/1.0", b""):
            self.assertFalse(is_websocket(value))

    def test_good(self) -> None:
        """The key is returned, names in any case, with blanks behind."""
        self.assertEqual(check_request("GET", ASKED), KEY)
        lowered = [(name.lower(), value + b" ") for name, value in ASKED]
        self.assertEqual(check_request("GET", lowered), KEY)

    def test_refused(self) -> None:
        """Another method, another version, no key or a bad one."""
        version, key = ASKED
        for method, headers, status in (
            ("POST", ASKED, 400),
            ("GET", [key], 426),
            ("GET", [(b"Sec-WebSocket-Version", b"8"), key], 426),
            ("GET", [(b"Sec-WebSocket-Version", b"13, 8"), key], 426),
            ("GET", [version, version, key], 426),
            ("GET", [version], 400),
            ("GET", [version, key, key], 400),
            ("GET", [version, (b"Sec-WebSocket-Key", b"")], 400),
            ("GET", [version, (b"Sec-WebSocket-Key", b"c2hvcnQ=")], 400),
            ("GET", [version, (b"Sec-WebSocket-Key", KEY[:-2])], 400),
            ("GET", [version, (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ!=")], 400),
        ):
            error = self.assertRaises(ExchangeError, check_request, method, headers)
            self.assertEqual(error.reason.status, status, headers)


class ResponseTests(SynchronousTestCase):
    def test_good(self) -> None:
        """The example of RFC 6455 section 1.3."""
        self.assertEqual(accept_for(KEY), ACCEPT)
        check_response(KEY, b"WebSocket", [(b"sec-websocket-accept", ACCEPT)])

    def test_refused(self) -> None:
        """Another protocol, no answer to the key, a wrong one, two."""
        good = (b"Sec-WebSocket-Accept", ACCEPT)
        for upgrade, headers in (
            (b"foo", [good]),
            (b"websocket", []),
            (b"websocket", [(b"Sec-WebSocket-Accept", KEY)]),
            (b"websocket", [(b"Sec-WebSocket-Accept", ACCEPT.lower())]),
            (b"websocket", [good, good]),
        ):
            error = self.assertRaises(ExchangeError, check_response, KEY, upgrade, headers)
            self.assertEqual((error.reason.status, error.reason.code), (502, "http_upgrade_failed"))

    def test_extensions(self) -> None:
        """Whether there are any."""
        self.assertTrue(is_extended([(b"Sec-Websocket-Extensions", b"permessage-deflate")]))
        self.assertFalse(is_extended([(b"Sec-Websocket-Extensions", b"")]))
        self.assertFalse(is_extended([]))
