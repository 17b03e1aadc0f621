"""The metrics of all workers, as one."""

from __future__ import annotations

import json
from typing import Any

from prometheus_client.metrics_core import HistogramMetricFamily
from twisted.trial.unittest import TestCase

from balancer.observe.metrics import counter, gauge
from balancer.pools.server import STATES
from balancer.service.workers.ledger import Ledger, plain


def _of(requests: float, connections: float = 0.0, state: str = "up", more: str = "") -> Any:
    counted = counter("requests", "All.", ("route",))
    counted.add_metric(("a",), requests)
    if more:
        counted.add_metric((more,), 1)
    took = HistogramMetricFamily("balancer_seconds", "Time.", labels=("route",))
    took.add_metric(("a",), [("1.0", requests), ("+Inf", requests)], requests)
    there = gauge("connections", "Now.", ())
    there.add_metric((), connections)
    states = gauge("server_state", "States.", ("server", "state"))
    for each in reversed(STATES):
        states.add_metric(("s", each), each == state)
    weight = gauge("server_weight", "Weight.", ())
    weight.add_metric((), 3)
    return json.loads(json.dumps(plain([counted, took, there, states, weight])))


class LedgerTests(TestCase):
    def setUp(self) -> None:
        self.ledger = Ledger()

    def value(self, name: str, **labels: str) -> float:
        found = [
            sample.value
            for metric in self.ledger.metrics()
            for sample in metric.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        self.assertLessEqual(len(found), 1)
        return found[0] if found else -1.0

    def test_sums(self) -> None:
        """Counters, histograms and most gauges are summed; what one worker alone has is there too."""
        self.ledger.note(1, _of(5, 2))
        self.ledger.note(2, _of(7, 3, more="b"))
        self.assertEqual(self.value("balancer_requests_total", route="a"), 12)
        self.assertEqual(self.value("balancer_requests_total", route="b"), 1)
        self.assertEqual(self.value("balancer_seconds_bucket", le="+Inf"), 12)
        self.assertEqual(self.value("balancer_seconds_sum"), 12)
        self.assertEqual(self.value("balancer_connections"), 5)
        self.assertEqual({metric.type for metric in self.ledger.metrics()}, {"counter", "histogram", "gauge"})

    def test_not_everything(self) -> None:
        """A weight is a weight, and a server is in the worst state in which any worker has it."""
        self.ledger.note(1, _of(1))
        self.ledger.note(2, _of(1, state="ejected"))
        self.assertEqual(self.value("balancer_server_weight"), 3)
        states = {state: self.value("balancer_server_state", state=state) for state in ("up", "ejected", "down")}
        self.assertEqual(states, {"up": 0, "ejected": 1, "down": 0})
        self.ledger.note(1, _of(1, state="disabled"))
        states = {state: self.value("balancer_server_state", state=state) for state in STATES}
        self.assertEqual({state for state, value in states.items() if value}, {"disabled"})

    def test_never_back(self) -> None:
        """What a worker had counted stays when it is gone, its gauges go; a newer count replaces an older one."""
        self.ledger.note(1, _of(5, 2))
        self.ledger.note(2, _of(7, 3))
        self.ledger.note(2, _of(8, 4))
        self.ledger.close(2)
        self.ledger.close(3)
        self.assertEqual(self.value("balancer_requests_total", route="a"), 13)
        self.assertEqual(self.value("balancer_connections"), 2)
        self.ledger.note(4, _of(1, 1))
        self.ledger.close(4)
        self.assertEqual(self.value("balancer_requests_total", route="a"), 14)
        self.assertEqual(self.value("balancer_seconds_count"), 14)
