"""Tests for :mod:`balancer.wire.http1.dates`."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

from twisted.trial.unittest import SynchronousTestCase

from balancer.wire.http1.dates import http_date


class DateTests(SynchronousTestCase):
    def test_now(self) -> None:
        """The present second, in the form of RFC 9110 section 5.6.7."""
        text = http_date().decode()
        self.assertRegex(text, r"^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$")
        self.assertLess(abs(parsedate_to_datetime(text).timestamp() - time.time()), 3)
