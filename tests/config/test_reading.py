"""Tests for :mod:`balancer.config.reading`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from balancer.config import reading
from balancer.config.reading import read_document, read_document_text
from balancer.errors import ConfigurationError


class ReadDocumentTests(SynchronousTestCase):
    """Files of every kind."""

    def _refused(self, content: bytes) -> str:
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(content)
        error = self.assertRaises(ConfigurationError, read_document, path)
        return str(error).removeprefix(path)

    def test_not_readable(self) -> None:
        """A file that is not there, or is a directory, is named with the reason."""
        for path, words in [("/no/such.yaml", "No such file"), ("/", "Is a directory"), ("a\0b", "the path of a file")]:
            error = self.assertRaises(ConfigurationError, read_document, path)
            self.assertIn(words, str(error))

    def test_no_permission(self) -> None:
        """A file that may not be read is named with the reason."""
        if os.geteuid() == 0:
            raise SkipTest("root may read everything")
        path = self.mktemp()
        with open(path, "wb"):
            os.chmod(path, 0)
        self.assertIn("Permission denied", str(self.assertRaises(ConfigurationError, read_document, path)))

    def test_empty(self) -> None:
        """Nothing, only comments, and null are an empty file."""
        for content in (b"", b"# nothing\n", b"null", b"---\n...\n", b"\xef\xbb\xbf"):
            self.assertEqual(self._refused(content), ":1:1: expected a configuration, the file is empty")

    def test_byte_order_mark(self) -> None:
        """A byte order mark is no part of the text."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"\xef\xbb\xbfa: 1\n")
        self.assertEqual(read_document(path).data, {"a": 1})

    def test_not_utf_8(self) -> None:
        """The first byte that is no UTF-8 is named with its place."""
        self.assertEqual(self._refused(b"a: 1\nb: \xe4\n"), ":2:4: expected text in UTF-8, got the byte 0xe4")
        self.assertIn("expected text in UTF-8", self._refused("a: 1".encode("utf-16")))

    def test_rubbish(self) -> None:
        """Binary content is refused at the first byte that cannot be text."""
        self.assertEqual(self._refused(b"ab\0c"), ":1:3: expected text, got the control character U+0000")
        self.assertIn("expected text", self._refused(b"\x7fELF\x02\x01\x01"))
        self.assertIn("expected text", self._refused(b"\x89PNG\r\n\x1a\n"))

    def test_too_large(self) -> None:
        """A file beyond the limit is not read to its end."""
        self.patch(reading, "LARGEST", 1024)
        self.assertIn("expected a file of at most", self._refused(b"# " + b"x" * 2000))
        self.assertIn(
            "expected a file of at most", str(self.assertRaises(ConfigurationError, read_document, "/dev/zero"))
        )

    def test_relative_secret(self) -> None:
        """``!file`` counts from the directory of the configuration."""
        directory = self.mktemp()
        os.mkdir(directory)
        for name, content in [("b.yaml", "a: !file key.txt\n"), ("key.txt", "k\n")]:
            with open(os.path.join(directory, name), "w") as file:
                file.write(content)
        self.assertEqual(read_document(os.path.join(directory, "b.yaml")).data, {"a": "k"})


SYNTAX = [
    ("a: b: c", "1:5", "check the indentation"),
    ("a:\n\tb: 1", "2:1", "indent with spaces"),
    ("a: [1, 2", "1:9", "expected ',' or ']'"),
    ("a: 'x", "1:6", "quoted scalar"),
    ("a: @x", "1:4", "quote a text that begins with '@'"),
    ("a: `x`", "1:4", "quote a text that begins with '`'"),
    ("a: {path: /users/{id}, b: 1}", "1:18", "quote a text that contains '{'"),
    ("bind: [::]:80", "1:11", "quote a text that begins with '['"),
    ("h: [*.example.org]", "1:5", "quote a text that begins with '*'"),
    ("- a\nb: c", "2:1", "check the indentation"),
    ("a: 1\n b: 2", "2:3", "check the indentation"),
    ('a: "\\q"', "1:6", "unknown escape character"),
    ("%YAML 3.0\n---\na: 1", "1:1", "version 1"),
    ("a: |x\n", "1:5", "indentation indicators"),
    ("*", "1:2", "the end of the text"),
]


class NumberTests(SynchronousTestCase):
    """Numbers that are none."""

    def test_too_large(self) -> None:
        """A number beyond all measure is a problem where it stands, from the environment too, and only once."""
        document = read_document_text("a: 1e999\nb:\n- 1\n- ${N}\n", "f", "", {"N": "1e999"})
        self.assertEqual(
            [str(problem) for problem in document.problems],
            [f"f:{place}: expected a smaller number, got 1e999" for place in ("1:4: a", "4:3: b[1]")],
        )


class SyntaxTests(SynchronousTestCase):
    """Text that is not YAML."""

    def test_places_and_advice(self) -> None:
        """Every error has its place, and for the usual slips what to do."""
        for text, place, words in SYNTAX:
            with self.subTest(text):
                message = str(self.assertRaises(ConfigurationError, read_document_text, text, "f"))
                self.assertTrue(message.startswith(f"f:{place}: "), message)
                self.assertIn(words, message)

    def test_directives(self) -> None:
        """A line that begins with '%' is a directive to YAML; what it lacks is said in words, at that line."""
        for text, place in (("a: 1\n%x\nb: 2\n", "2:1"), ("%x\na: 1\n", "1:1"), ("a: 1\n...\n%x\nb: 2", "3:1")):
            message = str(self.assertRaises(ConfigurationError, read_document_text, text, "f"))
            self.assertTrue(message.startswith(f"f:{place}: expected no line that begins with '%'"), message)
        message = str(self.assertRaises(ConfigurationError, read_document_text, "a: 1\n...\nb: 2\n", "f"))
        self.assertIn("f:3:1: expected one document", message)

    def test_yaml_1_2(self) -> None:
        """What libyaml refuses and YAML 1.2 allows is read all the same."""
        for text, data in [
            ("a: [::1, b]", {"a": ["::1", "b"]}),
            ("{a: :80}", {"a": ":80"}),
            ("[a:]", ["a:"]),
            ("a: [10.0.0.1:80, http://x/]", {"a": ["10.0.0.1:80", "http://x/"]}),
            ('{"a":1}', {"a": 1}),
            ("%YAML 1.2\n---\na: 1", {"a": 1}),
        ]:
            with self.subTest(text):
                self.assertEqual(read_document_text(text).data, data)


class ParserTests(SynchronousTestCase):
    """libyaml is only a faster way to the same."""

    TEXT = (
        "# c\na: &x [1, 'two', \"th\\u0072ee\", 10.0.0.1:80]\nb:\n  c: *x\n  d: |\n    x\n     y\n"
        "  e: >-\n    f\n    g\nh: !!str 5\n"
    )

    def test_without_libyaml(self) -> None:
        """ruamel alone gives the same data and the same places."""
        fast = read_document_text(self.TEXT)

        def none(text: str) -> Iterator[Any]:
            raise reading._RefusedError

        self.patch(reading, "_fast_events", none)
        slow = read_document_text(self.TEXT)
        self.assertEqual(fast.data, slow.data)
        for loc in [("a",), ("a", 2), ("b", "c"), ("b", "d"), ("b", "e"), ("h",)]:
            self.assertEqual(fast.problem(loc, ""), slow.problem(loc, ""))

    @settings(max_examples=300, deadline=None, database=None)
    @given(st.text(alphabet=":-[]{},#&*!|>'\"%@`?<~ \n\ta1.$\\/é", max_size=40))
    def test_any_text(self, text: str) -> None:
        """Whatever the text, the outcome is data or problems with a place."""
        try:
            document = read_document_text(text, "f", environment={})
        except ConfigurationError as error:
            self.assertTrue(all(problem.line >= 1 and problem.column >= 1 for problem in error.problems))
        else:
            self.assertIsNotNone(document.data)

    @settings(max_examples=100, deadline=None, database=None)
    @given(st.binary(max_size=60))
    def test_any_bytes(self, content: bytes) -> None:
        """Whatever the bytes, the outcome is data or problems."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(content)
        try:
            read_document(path, {})
        except ConfigurationError as error:
            self.assertTrue(error.problems)
