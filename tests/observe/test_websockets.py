"""Tests of the metrics of WebSockets."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.frames import WebSocketRecord
from balancer.observe.metrics import Metrics
from balancer.observe.records import ExchangeRecord
from tests.observe.test_metrics import _samples

WHERE = ("web", "chat", "chat")  # listener, pool, route: the labels in the order of their names


class MeterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.metrics = Metrics()
        self.record = ExchangeRecord()
        self.record.route = self.record.pool = "chat"

    def open(self, texts: int = 1) -> WebSocketRecord:
        counts = WebSocketRecord()
        self.metrics.websockets.opened("web", self.record, counts)
        counts.received.frames[1] = counts.received.messages = texts
        return counts

    def test_open_and_ended(self) -> None:
        """What is open counts while it grows, and goes on counting when it has ended."""
        one, two = self.open(3), self.open(4)
        found = _samples(self.metrics)
        self.assertEqual(found["balancer_websockets", WHERE], 2)
        self.assertEqual(found["balancer_websocket_frames_total", ("in", "text", *WHERE)], 7)
        one.received.frames[1] = 10
        one.closed_by, one.close_code, one.pings, one.sent.violations = "client", 1000, 5, 1
        self.metrics.websockets.closed(one)
        self.metrics.websockets.closed(two)
        found = _samples(self.metrics)
        self.assertEqual(found["balancer_websockets", WHERE], 0)
        self.assertEqual(found["balancer_websocket_frames_total", ("in", "text", *WHERE)], 14)
        self.assertEqual(found["balancer_websocket_messages_total", ("in", *WHERE)], 7)
        self.assertEqual(found["balancer_websocket_violations_total", ("out", *WHERE)], 1)
        self.assertEqual(found["balancer_websocket_pings_total", WHERE], 5)
        self.assertEqual(found["balancer_websockets_closed_total", ("client", "1000", *WHERE)], 1)
        self.assertEqual(found["balancer_websockets_closed_total", ("nobody", "1006", *WHERE)], 1)

    def test_codes_of_applications(self) -> None:
        """Codes that anybody may make up are one series for libraries, one for applications."""
        for code in (3001, 3002, 4001, 4999):
            counts = self.open()
            counts.closed_by, counts.close_code = "server", code
            self.metrics.websockets.closed(counts)
        found = _samples(self.metrics)
        for code in ("3000", "4000"):
            self.assertEqual(found["balancer_websockets_closed_total", ("server", code, *WHERE)], 2)
