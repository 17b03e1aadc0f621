"""Tests of the metrics of gRPC."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.observe.metrics import Metrics
from balancer.observe.records import ExchangeRecord
from tests.observe.test_metrics import _samples


class MeterTests(SynchronousTestCase):
    def test_calls(self) -> None:
        """Calls count by their status, what no status is as one; other exchanges do not."""
        metrics = Metrics()
        for code in (0, 0, 14, 17, 123456):
            record = ExchangeRecord()
            record.listener, record.route, record.pool, record.server = "web", "r", "p", "s"
            record.grpc, record.grpc_status = True, code
            metrics.exchange(record)
        metrics.exchange(ExchangeRecord())
        found = {
            labels: count for (name, labels), count in _samples(metrics).items() if name == "balancer_grpc_calls_total"
        }
        where = ("web", "p", "r", "s")
        self.assertEqual(found, {("0", *where): 2, ("14", *where): 1, ("other", *where): 2})
