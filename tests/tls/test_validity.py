"""Tests for :mod:`balancer.tls.validity`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.tls.identity import Identity
from balancer.tls.validity import days_left, moment, standing

DAY = 86400.0
SHOP = Identity("a.pem", b"", b"", ("shop.example",), "rsa", 10 * DAY, 20 * DAY, "1", "ab")


class ValidityTests(SynchronousTestCase):
    """The time of a certificate."""

    def test_days(self) -> None:
        """Whole days, rounded down, so that 0 is the last day and -1 the first without."""
        for now, expected in [(10.0, 10), (19.1, 0), (20.0, 0), (20.1, -1)]:
            self.assertEqual(days_left(SHOP, now * DAY), expected)

    def test_standing(self) -> None:
        """Before its time, within it, after it."""
        self.assertEqual(standing(SHOP, 9.9 * DAY), "is not valid before 1970-01-11 00:00 UTC")
        self.assertEqual(standing(SHOP, 10 * DAY), "")
        self.assertEqual(standing(SHOP, 20 * DAY), "expired on 1970-01-21 00:00 UTC")
        self.assertEqual(moment(0), "1970-01-01 00:00 UTC")
