"""Tests for :mod:`balancer.observe.metrics`."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from balancer.observe.metrics import Metrics, gauge
from balancer.observe.records import ExchangeRecord, SessionRecord


def _samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return the values by name and the labels' values, in the order of the labels' names."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def _exchange(status: int, total: float, server: str = "one", attempts: int = 1, reason: str = "") -> ExchangeRecord:
    record = ExchangeRecord()
    record.listener, record.route, record.pool, record.server = "web", "shop", "shop", server
    record.status, record.total, record.attempts, record.reason = status, total, attempts, reason
    record.bytes_in, record.bytes_out = 10, 100
    return record


class MetricsTests(SynchronousTestCase):
    def test_exchanges(self) -> None:
        """Requests by status class, bytes, retries, latencies and errors."""
        metrics = Metrics()
        for record in (
            _exchange(200, 0.0004),
            _exchange(204, 0.02),
            _exchange(502, 40.0, "two", 3, "connection_refused"),
        ):
            metrics.exchange(record)
        found = _samples(metrics)
        self.assertEqual(found["balancer_http_requests_total", ("web", "shop", "shop", "one", "2xx")], 2)
        self.assertEqual(found["balancer_http_requests_total", ("web", "shop", "shop", "two", "5xx")], 1)
        self.assertEqual(found["balancer_http_response_bytes_total", ("web", "shop", "shop", "one")], 200)
        self.assertEqual(found["balancer_http_retries_total", ("web", "shop", "shop", "two")], 2)
        self.assertEqual(found["balancer_errors_total", ("web", "connection_refused")], 1)
        duration = "balancer_http_request_duration_seconds"
        self.assertEqual(found[f"{duration}_bucket", ("0.001", "web", "shop", "shop")], 1)
        self.assertEqual(found[f"{duration}_bucket", ("0.025", "web", "shop", "shop")], 2)
        self.assertEqual(found[f"{duration}_bucket", ("30.0", "web", "shop", "shop")], 2)
        self.assertEqual(found[f"{duration}_bucket", ("+Inf", "web", "shop", "shop")], 3)
        self.assertAlmostEqual(found[f"{duration}_sum", ("web", "shop", "shop")], 40.0204)

    def test_sessions(self) -> None:
        """Sessions and flows, with bytes and datagrams."""
        metrics = Metrics()
        record = SessionRecord("udp")
        record.listener, record.datagrams_in, record.bytes_in, record.total = "game", 3, 30, 1.5
        metrics.session(record)
        metrics.session(record)
        found = _samples(metrics)
        whose = ("game", "", "udp", "", "")
        self.assertEqual(found["balancer_sessions_total", whose], 2)
        self.assertEqual(found["balancer_session_received_datagrams_total", whose], 6)
        self.assertEqual(found["balancer_session_seconds_total", whose], 3.0)

    def test_reloads_and_gauges(self) -> None:
        """Reloads are counted by outcome; gauges are asked for at each scrape."""
        metrics = Metrics()
        values = iter((1, 2))

        def gauges() -> list[object]:
            found = gauge("connections", "Now.", ("listener",))
            found.add_metric(("web",), next(values))
            return [found]

        metrics.watch(gauges)  # type: ignore[arg-type]
        metrics.reloaded()
        metrics.reload_refused()
        metrics.reload_refused()
        found = _samples(metrics)
        self.assertEqual(found["balancer_reloads_total", ("refused",)], 2)
        self.assertEqual(found["balancer_connections", ("web",)], 1)
        self.assertEqual(_samples(metrics)["balancer_connections", ("web",)], 2)

    def test_the_process(self) -> None:
        """The process's own memory, CPU and descriptors are there."""
        self.assertIn(("process_resident_memory_bytes", ()), _samples(Metrics()))
