"""Tests of the records of exchanges and sessions."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.observe.records import ExchangeRecord, SessionRecord


class RecordTests(SynchronousTestCase):
    def test_all_is_there(self) -> None:
        """A record that was only made says of everything that it did not happen, and has no dictionary to fill."""
        for record in (ExchangeRecord(), SessionRecord("tcp")):
            for name in (each for each in dir(record) if not each.startswith("_")):
                self.assertIsNot(getattr(record, name, self), self, name)
            self.assertFalse(hasattr(record, "__dict__"))
            self.assertEqual((record.attempts, record.reason, record.queue, record.connect), (0, "", -1.0, -1.0))
