"""Tests of close codes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.wire.websocket.codes import may_be_sent


class CodeTests(SynchronousTestCase):
    def test_what_may_be_sent(self) -> None:
        """Registered codes, and those of libraries and applications; not those that stand for something that was not sent."""
        for code in (1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999):
            self.assertTrue(may_be_sent(code), code)
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535):
            self.assertFalse(may_be_sent(code), code)
