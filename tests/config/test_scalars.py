"""Tests for :mod:`balancer.config.scalars`."""

from __future__ import annotations

import math
import os

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.document import Secret
from balancer.config.scalars import plain_value, secret_from, substituted


class PlainValueTests(SynchronousTestCase):
    """The core schema of YAML 1.2."""

    def test_values(self) -> None:
        """Nulls, truth values and numbers are what YAML 1.2 says."""
        for text, value in [
            ("", None),
            ("~", None),
            ("null", None),
            ("true", True),
            ("FALSE", False),
            ("0", 0),
            ("-12", -12),
            ("+7", 7),
            ("010", 10),
            ("0o17", 15),
            ("0x1F", 31),
            ("1.5", 1.5),
            ("1e3", 1000.0),
            (".5", 0.5),
            (".inf", math.inf),
            ("-.INF", -math.inf),
        ]:
            with self.subTest(text):
                self.assertEqual(plain_value(text), value)
                self.assertIs(type(plain_value(text)), type(value))
        self.assertTrue(math.isnan(plain_value(".nan")))

    def test_beyond_all_measure(self) -> None:
        """A number too large for anything is refused in words that do not repeat all of it."""
        for text, shown in (
            ("9" * 5000, "99999999999999999…, of 5000 characters"),
            ("1e999", "1e999"),
            ("-1e999", "-1e999"),
        ):
            error = self.assertRaises(ValueError, plain_value, text)
            self.assertEqual(str(error), f"expected a smaller number, got {shown}")

    def test_text(self) -> None:
        """What YAML 1.1 read as something else is text: yes, on, sexagesimal numbers, dates, underscores."""
        for text in (
            "yes",
            "No",
            "on",
            "off",
            "y",
            "10:30",
            "2024-01-01",
            "1_000",
            "0b11",
            "10.0.0.1",
            "1.2.3",
            "-",
            "+",
            ".",
            "5s",
        ):
            with self.subTest(text):
                self.assertEqual(plain_value(text), text)


class SubstitutedTests(SynchronousTestCase):
    """Environment variables."""

    ENVIRONMENT = {"HOST": "db.example", "EMPTY": ""}

    def test_replaced(self) -> None:
        """Names, defaults, several at once; the escape stands for the characters."""
        for text, result in [
            ("${HOST}", "db.example"),
            ("${HOST}:5432", "db.example:5432"),
            ("${NOPE:-x}/${HOST}", "x/db.example"),
            ("${EMPTY:-x}", "x"),
            ("[${EMPTY}]", "[]"),
            ("${NOPE:-}", ""),
            ("$${HOST}", "${HOST}"),
            ("$HOST $$ $", "$HOST $$ $"),
        ]:
            with self.subTest(text):
                self.assertEqual(substituted(text, self.ENVIRONMENT), result)

    def test_refused(self) -> None:
        """Variables that are not set are named, and what is no reference."""
        for text, words in [
            ("${NOPE}", "environment variable NOPE to be set"),
            ("${A} ${B}", "environment variables A, B to be set"),
            ("${1}", "got '${1}'"),
            ("${HOST", "got '${HOST'"),
            ("${}", "got '${}'"),
            ("${HOST:x}", "got '${HOST:x}'"),
        ]:
            with self.subTest(text):
                self.assertIn(words, str(self.assertRaises(ValueError, substituted, text, self.ENVIRONMENT)))


class SecretFromTests(SynchronousTestCase):
    """Text from files."""

    def _file(self, content: bytes) -> str:
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(content)
        return os.path.abspath(path)

    def _pipe(self) -> str:
        """Return the path of a named pipe, which would be waited for until somebody writes."""
        path = os.path.abspath(self.mktemp())
        os.mkfifo(path)
        return path

    def test_newline(self) -> None:
        """One newline at the end is not part of the secret; the path counts from the directory."""
        for content, text in [(b"s3cret\n", "s3cret"), (b"s3cret\r\n", "s3cret"), (b"a\n\n", "a\n"), (b"", "")]:
            directory, name = os.path.split(self._file(content))
            secret = secret_from(name, directory)
            self.assertEqual(secret, text)
            self.assertIsInstance(secret, Secret)

    def test_refused(self) -> None:
        """A file that is not there, is a directory, too large or not UTF-8 is named with the reason."""
        for path, words in [
            ("/nowhere/at-all", "/nowhere/at-all: No such file"),
            ("/", "/: Is a directory"),
            ("", "expected the path"),
            ("a\0b", "expected the path"),
            (self._file(b"\xff\xfe"), "expected a file in UTF-8"),
            (self._file(b"x" * (1024 * 1024 + 1)), "at most 1 MiB"),
            (self._pipe(), "expected a file, got a pipe or socket"),
        ]:
            with self.subTest(path):
                self.assertIn(words, str(self.assertRaises(ValueError, secret_from, path, "/")))
