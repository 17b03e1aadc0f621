"""Tests of the 101 that a client gets."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.filters.chain import run_requests
from balancer.listeners.http.switching import switching
from balancer.model.exchange import Exchange
from tests.filters.test_chain import Noting
from tests.routing.making import facts


class SwitchingTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """The server's fields, the request's id, and that the protocol changes."""
        self.assertEqual(
            switching(b"websocket", [(b"Sec-WebSocket-Accept", b"x")], None, "id-1"),
            b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nX-Request-Id: id-1\r\n"
            b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        )
        self.assertNotIn(b"X-Request-Id", switching(b"foo", [], None, ""))

    def test_filters(self) -> None:
        """Filters have their say on it, as on any response."""
        calls: list[str] = []
        exchange = Exchange(facts(), [])
        run_requests([Noting("a", calls)], exchange)
        switching(b"websocket", [(b"X", b"1")], exchange, "")
        self.assertEqual((calls, exchange.status, exchange.response_headers), (["a>", "<a"], 101, [(b"X", b"1")]))
