"""Tests of what is put in the place of a match."""

from __future__ import annotations

from twisted.trial import unittest

from balancer.rewriting.expansion import Expansion, byte_regex


class ExpansionTests(unittest.TestCase):
    def test_groups(self) -> None:
        """By number and by name; one that took no part is empty."""
        pattern = byte_regex("(?P<a>x)(y)?")
        found = pattern.search(b"x")
        self.assertEqual(Expansion("<\\g<a>\\1\\2\\0\\\\>", pattern).of(found), b"<xxx\\>")
        self.assertEqual(Expansion("\\g<1>!", pattern).with_groups(lambda number: f"[{number}]"), "[1]!")

    def test_literals(self) -> None:
        """What stands between the groups is known."""
        self.assertEqual(Expansion("a\\1b", byte_regex("(x)")).literals, (b"a", b"b"))

    def test_unknown_groups(self) -> None:
        """A group that is not there is refused."""
        for text in ("\\1", "\\g<a>", "\\x", "\\"):
            self.assertRaisesRegex(ValueError, "for a group of the expression", Expansion, text, byte_regex("x"))

    def test_bytes(self) -> None:
        """A dot is a character of UTF-8, or one byte of any kind."""
        self.assertEqual(byte_regex("^.$").search("é".encode()).group(), "é".encode())
        self.assertIsNone(byte_regex("^.$", latin=True).search("é".encode()))

    def test_repr(self) -> None:
        """For operators."""
        self.assertEqual(repr(Expansion("a", byte_regex("x"))), "<Expansion 'a'>")
