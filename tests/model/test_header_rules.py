"""Tests of what a configuration may write into header fields."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial import unittest

from balancer.model.header_rules import MANAGED, header_name, header_value, safe_value


class HeaderRulesTests(unittest.TestCase):
    """Names are tokens, values are lines."""

    def test_names(self) -> None:
        """Tokens pass with their case; others, and those of the connection, do not."""
        self.assertEqual(header_name("X-Team_1"), b"X-Team_1")
        for name in ("", "a b", "a:", "é", "a\n", "X\0"):
            self.assertRaises(ValueError, header_name, name)
        for managed in MANAGED:
            self.assertRaises(ValueError, header_name, managed.decode().title())

    def test_values(self) -> None:
        """One line of text, tabs inside allowed, in UTF-8."""
        self.assertEqual(header_value("a\tb é"), "a\tb é".encode())
        self.assertEqual(header_value(""), b"")
        for value in ("a\r\nb", "a\nb", "a\0", "\x7f", " a", "a ", "\t"):
            self.assertRaises(ValueError, header_value, value)

    @given(st.binary(max_size=20))
    def test_safe(self, value: bytes) -> None:
        """Nothing that ends a line is left, and a value without it is untouched."""
        safe = safe_value(value)
        self.assertFalse(set(safe) & set(b"\r\n\0"))
        if not any(byte < 32 or byte == 127 for byte in value):
            self.assertEqual(safe, value)

    def test_safe_is_percent_encoded(self) -> None:
        """What would end the line is shown as it is written in a URL."""
        self.assertEqual(safe_value(b"a\r\nSet-Cookie: x\tz"), b"a%0D%0ASet-Cookie: x\tz")
