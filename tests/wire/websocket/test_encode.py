"""Tests of the frames that the balancer makes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.frames import FrameCounts
from balancer.wire.websocket.encode import close_frame, ping_frame, xored
from balancer.wire.websocket.frames import FrameReader
from tests.wire.websocket.framing import MASK, frame


class FrameTests(SynchronousTestCase):
    def test_to_clients(self) -> None:
        """Frames for clients are bare."""
        self.assertEqual(close_frame(1001, "away"), b"\x88\x06\x03\xe9away")
        self.assertEqual(ping_frame(b"hi"), b"\x89\x02hi")

    def test_to_servers(self) -> None:
        """Frames for servers are masked."""
        self.assertEqual(close_frame(1001, "away", MASK), frame(8, b"\x03\xe9away", mask=MASK))
        self.assertEqual(ping_frame(b"hi", MASK), frame(9, b"hi", mask=MASK))

    def test_example_of_the_rfc(self) -> None:
        """RFC 6455 section 5.7: a masked "Hello"."""
        self.assertEqual(xored(b"Hello", MASK), bytes.fromhex("7f9f4d5158"))
        self.assertEqual(xored(xored(b"Hello", MASK), MASK), b"Hello")

    def test_long_reasons(self) -> None:
        """A reason is cut to what fits, and not within a character."""
        for reason in ("x" * 200, "é" * 100, "€" * 100):
            made = close_frame(1001, reason)
            self.assertLessEqual(len(made), 127)
            self.assertGreaterEqual(len(made), 124)
            self.assertTrue(reason.startswith(made[4:].decode()))
            reader = FrameReader(FrameCounts(), masked=False, strict=True)
            self.assertEqual(reader.feed(made), made)
