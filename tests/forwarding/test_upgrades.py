"""Tests of changing protocols."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from balancer.errors import ExchangeError
from balancer.forwarding.tunnel import Tunnel, TunnelSettings
from balancer.forwarding.upgrades import Upgrades, check
from balancer.forwarding.websocket import WebSocketTunnel
from balancer.model.headers import RawHeaders
from balancer.net.timers import Wheel
from balancer.observe.records import ExchangeRecord
from balancer.observe.websockets import WebSocketMeter
from balancer.wire.http1.heads import RequestHead
from balancer.wire.http1.responses import ResponseHead
from tests.wire.websocket.test_handshake import ACCEPT, ASKED


def asked(upgrade: bytes | None, headers: RawHeaders = ASKED) -> RequestHead:
    head = RequestHead("GET", "/", "1.1", headers)
    head.upgrade = upgrade
    return head


def answered(upgrade: bytes | None, headers: RawHeaders) -> ResponseHead:
    head = ResponseHead(101, b"Switching Protocols", headers)
    head.upgrade, head.plain = upgrade, headers
    return head


GOOD = [(b"Sec-WebSocket-Accept", ACCEPT)]


class UpgradesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.upgrades = Upgrades("web", TunnelSettings(Wheel(Clock())), WebSocketMeter())

    def tunnel(self, request: RequestHead, response: ResponseHead) -> Tunnel:
        return self.upgrades.tunnel(request, response, ExchangeRecord(), lambda tunnel, code: None)

    def test_kinds(self) -> None:
        """WebSocket gets a tunnel that knows it, any other protocol one that does not look."""
        for wanted, got, headers, kind in (
            (b"websocket", b"WebSocket", GOOD, WebSocketTunnel),
            (b"foo, websocket", b"websocket", GOOD, WebSocketTunnel),
            (b"foo, websocket", b"foo", [], Tunnel),
            (b"foo", b"foo", [], Tunnel),
        ):
            self.assertIs(type(self.tunnel(asked(wanted), answered(got, headers))), kind)

    def test_refused(self) -> None:
        """A 101 that nobody asked for, or that does not fit, is an error of the server's."""
        for wanted, got, headers in (
            (None, b"websocket", GOOD),
            (b"websocket", None, GOOD),
            (b"foo", b"websocket", GOOD),
            (b"websocket", b"foo", []),
            (b"websocket", b"websocket", []),
            (b"websocket", b"websocket", [(b"Sec-WebSocket-Accept", b"x")]),
        ):
            error = self.assertRaises(ExchangeError, self.tunnel, asked(wanted), answered(got, headers))
            self.assertEqual(error.reason.code, "http_upgrade_failed")

    def test_check(self) -> None:
        """Requests for a WebSocket are judged, those for something else are not."""
        check(asked(b"websocket"))
        check(asked(b"foo", []))
        check(asked(None, []))
        self.assertEqual(self.assertRaises(ExchangeError, check, asked(b"websocket", [])).reason.status, 426)
