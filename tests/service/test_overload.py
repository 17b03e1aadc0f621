"""Overload as the service sees it: measurements become decisions, metrics and a few lines of log."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from balancer.net.lag import INTERVAL
from balancer.service.overload import QUIET, Overload


class OverloadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.overload = Overload(self.clock, lambda: 0.0)
        self.overload.use(0.25)
        self.overload.lag.start()
        self.events: list[str] = []
        observer = lambda event: self.events.append(event["log_format"].format(**event))  # noqa: E731
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def late(self, seconds: float, times: int = 1) -> None:
        for _ in range(times):
            self.clock.advance(INTERVAL + seconds)

    def test_the_log(self) -> None:
        """Says once that it began, and once, after a while without, that it is over, with how many were turned away."""
        self.late(0.5, 4)
        self.assertTrue(self.overload.shedding.sheds("web"))
        self.late(0.0, 60)
        self.late(0.5, 2)
        self.assertEqual(len(self.events), 1)
        self.assertIn("overloaded: the event loop lags 500 ms, more than 250 ms", self.events[0])
        self.late(0.0, 20)
        self.clock.pump([INTERVAL] * int(QUIET / INTERVAL + 2))
        self.assertEqual(len(self.events), 2)
        self.assertIn("no longer overloaded: 1 turned away in ", self.events[1])

    def test_a_look_in_a_long_turn(self) -> None:
        """Begins to shed before the turn is over."""
        self.clock.rightNow += 1.0
        self.overload.look()
        self.clock.rightNow += 0.1
        self.overload.look()
        self.assertGreater(self.overload.shedding.share, 0.0)

    def test_switched_off(self) -> None:
        """A look costs nothing then, and nothing is shed; the lag is measured all the same."""
        self.overload.use(0.0)
        self.late(0.5, 9)
        self.overload.look()
        self.assertEqual(self.overload.shedding.share, 0.0)
        self.assertEqual(self.overload.report()["lag"], 0.5)

    def test_report_and_metrics(self) -> None:
        """The lag as a histogram, the share, how many were turned away."""
        self.late(0.5, 3)
        self.overload.shedding.sheds("web")
        self.assertEqual(self.overload.report()["turned_away"], {"web": 1})
        found = {
            sample.name: sample.value
            for metric in self.overload.metrics()
            for sample in metric.samples
            if sample.labels.get("le", "+Inf") == "+Inf"
        }
        self.assertEqual(found["balancer_loop_lag_seconds_count"], 3)
        self.assertAlmostEqual(found["balancer_loop_lag_seconds_sum"], 1.5)
        self.assertEqual(found["balancer_requests_shed_total"], 1)
        self.assertGreater(found["balancer_shedding_share"], 0.0)
