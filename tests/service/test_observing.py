"""Tests of who writes down what happened."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from balancer.observe.access_log import FLUSH_AFTER
from balancer.observe.records import ExchangeRecord, SessionRecord
from balancer.service.observing import BATCH, WAIT, Observing


class _Targets:
    def exchange(self, record: Any) -> str:
        if record.target == "/bad":
            raise ValueError(record.target)
        return str(record.target)

    def session(self, record: Any) -> str:
        if record.server == "bad":
            raise ValueError(record.server)
        return str(record.server)


def _record(target: str) -> ExchangeRecord:
    record = ExchangeRecord()
    record.listener, record.status, record.target, record.total = "web", 200, target, 0.001
    return record


def _session(server: str) -> SessionRecord:
    record = SessionRecord("tcp")
    record.listener, record.server, record.total = "stream", server, 0.001
    return record


class ObservingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.path = Path(self.mktemp())
        self.looks = 0
        self.observing = Observing(self.clock, self.look)
        self.addCleanup(self.observing.close)
        form: Any = _Targets()
        settings = SimpleNamespace(path=str(self.path))
        snapshot: Any = SimpleNamespace(config=SimpleNamespace(access_log=settings), log_format=form)
        self.observing.use(snapshot)

    def look(self) -> None:
        self.looks += 1

    def lines(self) -> list[str]:
        self.clock.advance(FLUSH_AFTER)
        return self.path.read_text().splitlines()

    def counted(self) -> bool:
        return b"balancer_http_requests_total{" in self.observing.metrics.text()

    def test_soon(self) -> None:
        """A record is logged soon after it came, together with those after it, in order."""
        self.observing.exchange(_record("/1"))
        self.observing.exchange(_record("/2"))
        self.clock.advance(WAIT)
        self.assertEqual(self.lines(), ["/1", "/2"])

    def test_many(self) -> None:
        """Many are logged at once, without waiting."""
        for _ in range(BATCH):
            self.observing.exchange(_record("/"))
        self.observing.close()
        self.assertEqual(len(self.path.read_text().splitlines()), BATCH)
        self.assertEqual(self.looks, 1)

    def test_scrape(self) -> None:
        """Whoever asks for metrics finds everything counted that has happened."""
        self.assertFalse(self.counted())
        self.observing.exchange(_record("/"))
        self.assertTrue(self.counted())

    def test_format_that_fails(self) -> None:
        """A record that the format cannot put into a line takes nobody else's line with it."""
        for target in ("/1", "/bad", "/2"):
            self.observing.exchange(_record(target))
        self.clock.advance(WAIT)
        self.assertEqual(self.lines(), ["/1", "/2"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_end(self) -> None:
        """What waits when the service ends is written."""
        self.observing.exchange(_record("/last"))
        self.observing.close()
        self.assertEqual(self.path.read_text(), "/last\n")

    def test_sessions(self) -> None:
        """Sessions are logged soon after they ended, in order; one that cannot be put into a line takes no other with it."""
        for server in ("1", "bad", "2"):
            self.observing.session(_session(server))
        self.clock.advance(WAIT)
        self.assertEqual(self.lines(), ["1", "2"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_many_sessions(self) -> None:
        """Many sessions are logged at once, without waiting, and counted for whoever asks before that."""
        self.observing.session(_session("1"))
        self.assertIn(b"balancer_sessions_total{", self.observing.metrics.text())
        for _ in range(BATCH):
            self.observing.session(_session("2"))
        self.observing.close()
        self.assertEqual(len(self.path.read_text().splitlines()), BATCH + 1)
