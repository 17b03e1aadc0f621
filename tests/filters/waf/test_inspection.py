"""Tests for :mod:`balancer.filters.waf.inspection`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from balancer.filters.waf.inspection import Inspection
from balancer.model.exchange import Exchange
from tests.filters.waf.making import Check, Threads, exchange, found, waf


class BudgetTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.threads = Threads()

    def run_(self, *checks: Check, budget: float = 0.05, it: Exchange | None = None) -> Inspection:
        made = waf(*checks, clock=self.clock, threads=self.threads)
        return Inspection(made._checks, made._policy, budget, it or exchange(), self.clock.seconds)

    def slow(self, seconds: float) -> Any:
        return lambda _: self.clock.advance(seconds)

    def test_spent(self) -> None:
        """Once the time of the exchange is over, checks are not called any more, which means what each declares."""
        checks = [Check(self.slow(0.03)), Check(self.slow(0.03)), Check(found(9), on_timeout="block"), Check(found(9))]
        run = self.run_(*checks)
        self.assertEqual(run.look("request_head", range(4)), [])
        self.assertEqual([len(check.seen) for check in checks], [1, 1, 0, 0])
        ruling = run.rule("request_head", over=True)
        assert ruling is not None
        self.assertEqual((ruling.does, ruling.because), ("block", "c2 failed (timeout) and is to block then"))
        self.assertAlmostEqual(run.spent, 0.06)

    def test_across_phases(self) -> None:
        """The budget is for all phases together; waiting for a body does not count."""
        check = Check(self.slow(0.04), phases=("request_head", "log"))
        run = self.run_(check)
        run.look("request_head", [0])
        self.clock.advance(60)
        run.look("log", [0])
        self.assertAlmostEqual(run.spent, 0.08)
        run.look("log", [0])
        self.assertEqual(len(check.seen), 2)

    def test_limit_of_a_call(self) -> None:
        """A call that waits gets no more than what is left."""
        run = self.run_(Check(self.slow(0.04)), Check(lane="thread", budget=1.0))
        ((_, call),) = run.look("request_head", [0, 1])
        self.clock.advance(0.0101)
        self.assertEqual(self.successResultOf(call).failed, "timeout")

    def test_waiting_is_spent(self) -> None:
        """What is waited for is spent."""
        run = self.run_(Check(lane="thread", budget=1.0), budget=1.0)
        waiting = run.look("request_head", [0])
        done = Deferred.fromCoroutine(run.wait(waiting, "request_head"))
        self.clock.advance(0.5)
        self.threads.go()
        self.successResultOf(done)
        self.assertAlmostEqual(run.spent, 0.5)

    def test_cancelled(self) -> None:
        """All that is under way is cancelled, if the exchange is."""
        cancelled: list[object] = []
        run = self.run_(*[Check(lambda _: Deferred(cancelled.append), lane="remote") for _ in range(3)])
        done = Deferred.fromCoroutine(run.wait(run.look("request_head", range(3)), "request_head"))
        done.addErrback(lambda _: None)
        done.cancel()
        self.assertEqual(len(cancelled), 3)

    def test_response_that_never_ends(self) -> None:
        """What waits for the end of a response is cancelled where that does not come."""
        cancelled: list[object] = []
        run = self.run_(Check(lambda _: Deferred(cancelled.append), lane="remote"))
        run.pending = run.look("request_head", [0])
        self.assertIsNone(run.finish([]))
        self.assertEqual(len(cancelled), 1)
