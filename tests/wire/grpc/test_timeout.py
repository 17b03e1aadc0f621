"""Tests of deadlines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer.wire.grpc.timeout import format_timeout, parse_timeout


class TimeoutTests(SynchronousTestCase):
    def test_parse(self) -> None:
        """Hours to nanoseconds; what is no deadline is none."""
        for value, seconds in (
            (b"1H", 3600.0),
            (b"2M", 120.0),
            (b"3S", 3.0),
            (b"250m", 0.25),
            (b"100u", 0.0001),
            (b"5n", 5e-9),
            (b"0S", 0.0),
            (b"99999999H", 99999999 * 3600.0),
            (b"00000001S", 1.0),
        ):
            self.assertEqual(parse_timeout(value), seconds, value)
        for value in (
            b"",
            b"S",
            b"1",
            b"1s",
            b"1h",
            b"-1S",
            b"+1S",
            b"1.5S",
            b" 1S",
            b"1S\n",
            b"123456789S",
            b"1 S",
            "١S".encode(),
        ):
            self.assertIsNone(parse_timeout(value), value)

    def test_format(self) -> None:
        """The finest unit with eight digits at most, never sooner than meant, never nothing."""
        for seconds, value in (
            (0.0, b"1n"),
            (-1.0, b"1n"),
            (0.25, b"250000u"),
            (0.05, b"50000000n"),
            (1.0, b"1000000u"),
            (99.9999995, b"100000m"),
            (100.0, b"100000m"),
            (3600.0, b"3600000m"),
            (1e6, b"1000000S"),
            (1e9, b"16666667M"),
            (1e11, b"27777778H"),
            (1e30, b"99999999H"),
            (float("inf"), b"99999999H"),
        ):
            self.assertEqual(format_timeout(seconds), value, seconds)

    @given(st.floats(1e-9, 1e11))
    def test_round_trip(self, seconds: float) -> None:
        """What is written is read as nearly the same, and not as less."""
        value = format_timeout(seconds)
        self.assertLessEqual(len(value), 9)
        read = parse_timeout(value)
        assert read is not None
        self.assertGreaterEqual(read, seconds * (1 - 1e-9) - 1e-9)
        self.assertLessEqual(read, seconds * 1.001 + 1e-9)
