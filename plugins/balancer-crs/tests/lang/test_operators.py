"""Tests of operators."""

from __future__ import annotations

from pathlib import Path

from balancer_crs.lang.errors import RuleError
from balancer_crs.lang.model import Operator, Reference, Text, Where
from balancer_crs.lang.operators import parse_operator
from twisted.trial.unittest import SynchronousTestCase


class OperatorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def parse(self, text: str) -> Operator:
        return parse_operator(text, lambda index: Where("f", index), self.folder)

    def test_names(self) -> None:
        """Any case; negated; without a name it is an expression."""
        self.assertEqual(self.parse("@RX a b"), Operator("rx", False, Text(("a b",))))
        self.assertEqual(self.parse("!@streq x"), Operator("streq", True, Text(("x",))))
        self.assertEqual(self.parse("^a"), Operator("rx", False, Text(("^a",))))
        self.assertEqual(self.parse("!^a"), Operator("rx", True, Text(("^a",))))
        self.assertEqual(self.parse("@detectSQLi"), Operator("detectSQLi"))
        self.assertEqual(str(self.parse("!@within %{tx.a} b")), "!@within %{TX.a} b")

    def test_macros(self) -> None:
        """Macros are cut out; an expression that only looks as if it had one has none."""
        self.assertEqual(self.parse("@lt %{tx.n}").argument, Text((Reference("TX", "n"),)))
        self.assertEqual(self.parse(r"@rx %\{x}|%{nothing}").argument.constant, r"%\{x}|%{nothing}")

    def test_phrases(self) -> None:
        """Phrases of pm are separated by blanks; |41 42| are bytes; none twice."""
        self.assertEqual(self.parse("@pm a |42 43|d a").entries, ("a", "BCd"))

    def test_files(self) -> None:
        """Phrases and networks of files; blank lines and comments are none; a bar in a file is a bar."""
        (self.folder / "words.data").write_bytes(b"# x\n a b \r\n\n|41|\na b\n\xff\n")
        (self.folder / "nets.data").write_text("10.0.0.0/8\n192.0.2.7\n2001:db8::/32\n")
        self.assertEqual(self.parse("@pmFromFile words.data").entries, ("a b", "|41|", "\udcff"))
        self.assertEqual(self.parse("!@ipMatchF nets.data").entries, ("10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"))
        self.assertEqual(self.parse("@ipMatch 127.0.0.1, ::1").entries, ("127.0.0.1/32", "::1/128"))

    def test_refused(self) -> None:
        """What cannot be judged with, at its place."""
        (self.folder / "bad.data").write_text("10.0.0.0/8\n10.0.0.999\n")
        for text, place, reason in (
            ("@rxx a", "f:0", "unknown operator @rxx; did you mean @rx?"),
            ("@rsub s/a/b/", "f:0", "@rsub is not supported: bodies are not changed"),
            ("@pm", "f:2", "expected what @pm compares with"),
            ("@eq five", "f:4", "expected an integer for @eq"),
            ("@validateByteRange 1-256", "f:19", "expected ranges of bytes"),
            ("@validateByteRange 9-1", "f:19", "expected ranges of bytes"),
            ("@streq %{nothing}", "f:7", "unknown variable 'nothing' in the macro"),
            ("@streq %{REQUEST_URI.x}", "f:7", "has no members"),
            ("@pmFromFile none.data", "f:12", "none.data cannot be read"),
            ("@pmFromFile https://example.org/x", "f:12", "is not fetched"),
            ("@ipMatch 10.0.0.0/40", "f:9", "expected an address or a network"),
            ("@ipMatchFromFile bad.data", f"{self.folder}/bad.data:2", "expected an address or a network"),
        ):
            with self.assertRaises(RuleError) as caught:
                self.parse(text)
            self.assertTrue(str(caught.exception).startswith(f"{place}: "), caught.exception)
            self.assertIn(reason, str(caught.exception))
