"""Tests of regular-expression replacement in values."""

from __future__ import annotations

from pydantic import ValidationError
from twisted.trial import unittest

from balancer.filters.replacement import ValueReplacement


def changed(regex: str, by: str, value: bytes) -> bytes:
    return ValueReplacement.model_validate({"regex": regex, "with": by}).compiled()(value)


class ReplacementTests(unittest.TestCase):
    """Everywhere in the value, on bytes."""

    def test_everywhere(self) -> None:
        """Each place where the expression is found."""
        self.assertEqual(changed("token=[^&]*", "token=-", b"?token=a&b=1&token=c"), b"?token=-&b=1&token=-")
        self.assertEqual(changed("x", "", b"axbx"), b"ab")
        self.assertEqual(changed("z", "y", b"abc"), b"abc")

    def test_groups(self) -> None:
        """By number and by name; a group that took no part is empty; two backslashes are one."""
        self.assertEqual(changed(r"(\w+)@(?P<host>\w+)", r"\g<host>/\1/\0", b"<a@b>"), b"<b/a/a@b>")
        self.assertEqual(changed("a(b)?", r"[\1]\\", b"a ab"), b"[]\\ [b]\\")

    def test_bytes(self) -> None:
        """A value that is not UTF-8 is changed all the same."""
        self.assertEqual(changed("t=[^;]*", "t=-", b"t=\xff\xfe;u"), b"t=-;u")
        self.assertEqual(changed("é", "è", "é".encode()), "è".encode())

    def test_refuses(self) -> None:
        """No such group, a broken expression, a line break: errors that say so."""
        for regex, by in (
            ("a", r"\1"),
            ("a", r"\g<x>"),
            ("a", "\\"),
            ("a", r"\n"),
            ("(", ""),
            ("a", "b\r\nc"),
            (r"\x{20ac}", ""),
        ):
            self.assertRaises(ValidationError, ValueReplacement.model_validate, {"regex": regex, "with": by})
