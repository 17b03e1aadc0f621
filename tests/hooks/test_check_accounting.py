"""Tests for :mod:`balancer.hooks.check_accounting`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from balancer.hooks.accounting import COOL_DOWN
from balancer.hooks.check_accounting import CheckAccount


class CheckAccountTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.account = CheckAccount("package", "check", "name", 3, self.clock.seconds)

    def answer(self, seconds: float = 0.0, *, hit: bool = False) -> None:
        self.account.answered(seconds, 0.001, hit=hit, where="request_head")

    def test_counts(self) -> None:
        """Hits, time, overruns, time-outs and errors."""
        self.answer(0.0005, hit=True)
        self.answer(0.002)
        self.account.timed_out("no thread is free", "request_body")
        self.assertEqual(self.account.broke(KeyError("x"), "log"), "KeyError: 'x'")
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        report = self.account.report()
        self.assertEqual([report[key] for key in ("hits", "overruns", "timeouts", "errors")], [1, 1, 1, 1])
        self.assertAlmostEqual(report["seconds"], 0.0025)
        self.assertEqual(report["last_error"], "log: KeyError: 'x'")

    def test_breaker(self) -> None:
        """Failures in a row open it; it closes with the first answer in time after a while."""
        for _ in range(3):
            self.assertFalse(self.account.tripped)
            self.answer(0.5)
        self.assertTrue(self.account.tripped)
        self.assertIn("detect", repr(self.account))
        self.answer()
        self.assertTrue(self.account.tripped)
        self.clock.advance(COOL_DOWN)
        self.answer(0.5)
        self.assertTrue(self.account.tripped)
        self.answer()
        self.assertFalse(self.account.tripped)

    def test_a_good_answer_between(self) -> None:
        """Failures count only in a row."""
        for _ in range(5):
            self.answer(0.5)
            self.answer(0.5)
            self.answer()
        self.assertFalse(self.account.tripped)

    def test_one_at_a_time(self) -> None:
        """In detect one call goes on; others are skipped."""
        self.assertTrue(self.account.takes_beside())
        self.account.busy = True
        self.assertFalse(self.account.takes_beside())
        self.assertEqual(self.account.skipped, 1)
