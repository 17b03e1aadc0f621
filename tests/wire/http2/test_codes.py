"""Tests for :mod:`balancer.wire.http2.codes`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.wire.http2 import interface
from balancer.wire.http2.codes import name_of


class CodeTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Every code that there is has the name that the code knows it by; others are numbers."""
        for code in range(14):
            self.assertEqual(getattr(interface, name_of(code)), code)
        self.assertEqual((name_of(14), name_of(2**32 - 1)), ("error 0xe", "error 0xffffffff"))
