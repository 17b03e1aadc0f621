"""Tests of macros."""

from __future__ import annotations

from balancer_crs.lang.errors import RuleError
from balancer_crs.lang.macros import parse_text
from balancer_crs.lang.model import Reference, Text, Where
from twisted.trial.unittest import SynchronousTestCase


def _where(index: int) -> Where:
    return Where("f", index)


class MacroTests(SynchronousTestCase):
    def test_pieces(self) -> None:
        """Text and macros in turn; names in capitals, keys as written, behind a dot or a colon."""
        found = parse_text("a%{tx.Foo}%{request_headers:User-Agent}b%{MATCHED_VAR}", _where)
        self.assertEqual(
            found.pieces,
            ("a", Reference("TX", "Foo"), Reference("REQUEST_HEADERS", "User-Agent"), "b", Reference("MATCHED_VAR")),
        )
        self.assertEqual(str(found), "a%{TX.Foo}%{REQUEST_HEADERS.User-Agent}b%{MATCHED_VAR}")
        self.assertEqual(len(found.references), 3)
        self.assertIsNone(found.constant)

    def test_constants(self) -> None:
        """A text without macros is one piece, or none; what is not closed is text."""
        self.assertEqual(parse_text("", _where), Text())
        self.assertEqual(parse_text("", _where).constant, "")
        self.assertEqual(parse_text("100%{", _where).constant, "100%{")

    def test_refused(self) -> None:
        """A macro of no known variable, at its place; in an expression it is text."""
        for text, reason in (
            (
                "abc%{REQUEST_URL}",
                "unknown variable 'REQUEST_URL' in the macro %{REQUEST_URL}; did you mean REQUEST_URI?",
            ),
            ("abc%{REQUEST_URI.x}", "REQUEST_URI of the macro %{REQUEST_URI.x} has no members"),
            ("abc%{PERF_ALL}", "PERF_ALL of the macro %{PERF_ALL} is not supported"),
        ):
            with self.assertRaises(RuleError) as caught:
                parse_text(text, _where)
            self.assertIn(reason, str(caught.exception))
            self.assertEqual(caught.exception.where.line, 3)
            self.assertEqual(parse_text(text, _where, lenient=True).constant, text)
