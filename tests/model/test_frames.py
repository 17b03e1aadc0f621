"""Tests of the numbers of a WebSocket."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.frames import FrameCounts


class FrameCountsTests(SynchronousTestCase):
    def test_kinds(self) -> None:
        """Only what there was is named; opcodes that mean nothing are one kind."""
        counts = FrameCounts()
        self.assertEqual(repr(counts), "<FrameCounts nothing>")
        for opcode in (1, 1, 8, 3, 11):
            counts.frames[opcode] += 1
        counts.close_code = 1000
        self.assertEqual(dict(counts.kinds()), {"text": 2, "close": 1, "other": 2})
        self.assertEqual(repr(counts), "<FrameCounts 2 text, 1 close, 2 other, closed 1000>")
