"""Tests for :mod:`balancer.listeners.rationed`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.listeners.rationed import Rationed


class RationedTests(SynchronousTestCase):
    """So many lines in a while."""

    def test_rationed(self) -> None:
        """What is too much is counted, and told with the next that is allowed."""
        rationed = Rationed(2, 10.0)
        self.assertEqual([rationed.allows(now) for now in (0.0, 1.0, 2.0, 9.9)], [True, True, False, False])
        self.assertEqual(repr(rationed), "<Rationed 0 of 2 left, 2 unwritten>")
        self.assertEqual([rationed.allows(now) for now in (10.0, 11.0, 12.0)], [True, True, False])
        self.assertEqual(rationed.take_unwritten(), 3)
        self.assertEqual(rationed.take_unwritten(), 0)
