"""Tests for :mod:`balancer.hooks.waiting`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from balancer.errors import PluginError
from balancer.hooks.waiting import PATIENCE, patiently


class PatientlyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def test_fires(self) -> None:
        """What the Deferred fires or fails with is passed on, at once or later, and nothing stays scheduled."""
        self.assertEqual(self.successResultOf(patiently(succeed(1), self.clock)), 1)
        self.failureResultOf(patiently(fail(KeyError("x")), self.clock), KeyError)
        waiting: Deferred[Any] = Deferred()
        answer = patiently(waiting, self.clock)
        self.clock.advance(PATIENCE - 0.1)
        self.assertNoResult(answer)
        waiting.callback(2)
        self.assertEqual(self.successResultOf(answer), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_too_late(self) -> None:
        """After the time is up it is cancelled, and what it does then is nobody's concern."""
        cancelled = []
        waiting: Deferred[Any] = Deferred(cancelled.append)
        answer = patiently(waiting, self.clock, 2.0)
        self.clock.advance(2.0)
        self.assertIn("within 2 s", str(self.failureResultOf(answer, TimeoutError).value))
        self.assertEqual(cancelled, [waiting])

    def test_stubborn(self) -> None:
        """A canceller that raises, or a result that comes anyhow, changes nothing."""

        def stubborn(waiting: Deferred[Any]) -> None:
            raise RuntimeError("no")

        waiting: Deferred[Any] = Deferred(stubborn)
        answer = patiently(waiting, self.clock, 2.0)
        self.clock.advance(2.0)
        self.failureResultOf(answer, TimeoutError)
        waiting.callback("late")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_cancelled_here(self) -> None:
        """Cancelling the answer cancels the plug-in's Deferred, and is CancelledError."""
        cancelled = []
        answer = patiently(Deferred(cancelled.append), self.clock)
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.assertEqual((len(cancelled), self.clock.getDelayedCalls()), (1, []))

    def test_cancelled_there(self) -> None:
        """A Deferred that the plug-in itself cancels fails like any other."""
        waiting: Deferred[Any] = Deferred()
        answer = patiently(waiting, self.clock)
        waiting.cancel()
        self.failureResultOf(answer, PluginError)

    def test_without_clock(self) -> None:
        """Where nothing runs there is no limit."""
        waiting: Deferred[Any] = Deferred()
        answer = patiently(waiting, None)
        self.assertNoResult(answer)
        waiting.callback(3)
        self.assertEqual(self.successResultOf(answer), 3)
