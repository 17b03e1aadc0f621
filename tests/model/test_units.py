"""Tests for :mod:`balancer.model.units`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer.model.units import counted, format_duration, format_size, parse_duration, parse_size


class UnitTests(SynchronousTestCase):
    def test_counted(self) -> None:
        self.assertEqual([counted(count, "byte") for count in (0, 1, 2)], ["0 bytes", "1 byte", "2 bytes"])
        self.assertEqual(counted(2, "entry", "entries"), "2 entries")

    def test_durations(self) -> None:
        for text, seconds in (
            ("250ms", 0.25),
            ("5s", 5),
            ("1h30m", 5400),
            ("1.5s", 1.5),
            ("2d", 172800),
            ("10us", 1e-5),
            (0, 0),
            ("0", 0),
        ):
            self.assertAlmostEqual(parse_duration(text), seconds)

    def test_sizes(self) -> None:
        for text, count in (("16KiB", 16384), ("1MB", 10**6), ("1.5MiB", 1572864), ("512B", 512), (7, 7), ("7", 7)):
            self.assertEqual(parse_size(text), count)

    def test_nonsense(self) -> None:
        wrong: Any
        for wrong in (5, "5", "-5s", "5 s", "s", "", "5x", True, None, [], "1e3s", "٣s"):
            self.assertRaises(ValueError, parse_duration, wrong)
        for wrong in (-1, "-1", "1XB", "KiB", "", None, True, 1.5, "٣"):
            self.assertRaises(ValueError, parse_size, wrong)

    def test_beyond_all_measure(self) -> None:
        """A number too large for anything is nonsense too, and no other error."""
        for wrong in ("9" * 400 + "KiB", "9" * 5000):
            self.assertIn("size", str(self.assertRaises(ValueError, parse_size, wrong)))
        for wrong in ("9" * 400 + "d", "9" * 400 + "s1ms"):
            self.assertIn("duration", str(self.assertRaises(ValueError, parse_duration, wrong)))

    @given(st.integers(0, 10**9))
    def test_what_is_written_can_be_read(self, number: int) -> None:
        self.assertEqual(parse_size(format_size(number)), number)
        if number < 10**6:
            self.assertAlmostEqual(parse_duration(format_duration(number)), number)
