"""Tests of counts as canaries are judged by."""

from __future__ import annotations

from twisted.trial import unittest

from balancer.observe.metrics import Metrics
from balancer.observe.records import ExchangeRecord
from balancer.service.tallies import tallies
from balancer.service.workers.ledger import Ledger, plain


def record(pool: str, status: int, total: float, grpc_status: int | None = None) -> ExchangeRecord:
    """Return the record of an exchange."""
    found = ExchangeRecord()
    found.listener, found.route, found.pool, found.server = "web", "shop", pool, "one"
    found.status, found.total = status, total
    if grpc_status is not None:
        found.grpc, found.grpc_status = True, grpc_status
    return found


class TallyTests(unittest.TestCase):
    """Read off the metrics."""

    def setUp(self) -> None:
        self.metrics = Metrics()
        for each in (
            record("new", 200, 0.01),
            record("new", 404, 0.2),
            record("new", 503, 3.0),
            record("new", 200, 0.01, 14),
            record("new", 200, 0.01, 5),
            record("old", 200, 0.01),
        ):
            self.metrics.exchange(each)

    def test_one_process(self) -> None:
        """Answers of 5xx and faults of gRPC are errors; what the client did wrong is not."""
        found = tallies(self.metrics.collect())
        new = found["web", "shop", "new"]
        self.assertEqual((new.requests, new.errors), (5, 2))
        self.assertEqual((new.within[0.01], new.within[0.25], new.within[float("inf")]), (3, 4, 5))
        self.assertEqual(found["web", "shop", "old"].errors, 0)

    def test_all_workers(self) -> None:
        """The sum over workers, those that are gone too."""
        ledger = Ledger()
        for pid in (1, 2, 3):
            ledger.note(pid, plain(self.metrics.collect()))
        ledger.close(2)
        new = tallies(ledger.metrics())["web", "shop", "new"]
        self.assertEqual((new.requests, new.errors, new.within[0.25]), (15, 6, 12))
