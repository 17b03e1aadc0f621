"""Tests for :mod:`balancer.forwarding.mirroring.rest`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.forwarding.mirroring.rest import Rest


class RestTests(SynchronousTestCase):
    """A mirror that does not answer."""

    def setUp(self) -> None:
        self.rest = Rest()

    def fail(self, times: int, now: float) -> None:  # type: ignore[override]
        for _ in range(times):
            self.rest.ended(False, now)

    def test_some_failures(self) -> None:
        """A few failures, with answers between them, change nothing."""
        for _ in range(3):
            self.fail(4, 0.0)
            self.assertTrue(self.rest.asks(0.0))
            self.rest.ended(True, 0.0)
        self.assertEqual(repr(self.rest), "<Rest none>")

    def test_left_alone(self) -> None:
        """After five in a row it is left alone, then tried with one copy at a time, for twice as long each time, up to a limit."""
        self.fail(5, 0.0)
        self.fail(50, 0.0)  # those that were under way
        now, span = 0.0, 1.0
        for _ in range(8):
            self.assertFalse(self.rest.asks(now + span - 0.01))
            now += span
            self.assertTrue(self.rest.asks(now))
            self.assertFalse(self.rest.asks(now))
            self.rest.ended(False, now)
            span = min(2 * span, 30.0)
        self.assertEqual((span, repr(self.rest)), (30.0, "<Rest for 30 s>"))

    def test_back(self) -> None:
        """One answer, and all is as before."""
        self.fail(5, 0.0)
        self.assertTrue(self.rest.asks(1.0))
        self.rest.ended(True, 1.1)
        self.assertTrue(all(self.rest.asks(1.1) for _ in range(3)))
        self.fail(4, 1.2)
        self.assertTrue(self.rest.asks(1.2))

    def test_unknown(self) -> None:
        """A copy that came to nothing for other reasons leaves its turn to the next."""
        self.fail(5, 0.0)
        self.assertTrue(self.rest.asks(1.0))
        self.rest.ended(None, 1.1)
        self.assertTrue(self.rest.asks(1.1))
