"""Tests for :mod:`balancer.config.document`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.document import Document, dotted
from balancer.config.reading import read_document_text

TEXT = """\
a:
  b: 5
  list:
    - one
    - {c: 6}
empty:
"""


class DocumentTests(SynchronousTestCase):
    """Finding places again."""

    def _place(self, *loc: str | int, key: bool = False) -> tuple[int, int, str]:
        problem = read_document_text(TEXT, "f").problem(loc, "x", key=key)
        return problem.line, problem.column, problem.path

    def test_places(self) -> None:
        """A scalar is at its value, a block and an empty value at their key, an entry where it begins."""
        self.assertEqual(self._place(), (1, 1, ""))
        self.assertEqual(self._place("a"), (1, 1, "a"))
        self.assertEqual(self._place("a", "b"), (2, 6, "a.b"))
        self.assertEqual(self._place("a", "b", key=True), (2, 3, "a.b"))
        self.assertEqual(self._place("a", "list"), (3, 3, "a.list"))
        self.assertEqual(self._place("a", "list", 0), (4, 7, "a.list[0]"))
        self.assertEqual(self._place("a", "list", 1), (5, 7, "a.list[1]"))
        self.assertEqual(self._place("a", "list", 1, "c"), (5, 11, "a.list[1].c"))
        self.assertEqual(self._place("empty"), (6, 1, "empty"))

    def test_parts_that_are_not_there(self) -> None:
        """What a short form left out is passed over, in the middle and at the end."""
        self.assertEqual(self._place("a", "weights", "b"), (2, 6, "a.b"))
        self.assertEqual(self._place("a", "b", 0), (2, 6, "a.b"))
        self.assertEqual(self._place("a", "list", 7), (3, 3, "a.list"))

    def test_missing(self) -> None:
        """What is missing is at its parent, and named."""
        problem = read_document_text(TEXT, "f").missing(("a", "x"), "expected 'x'")
        self.assertEqual(str(problem), "f:1:1: a.x: expected 'x'")
        self.assertEqual(problem.code, "missing")

    def test_without_data(self) -> None:
        """A document without data has no places, and says so with zeros."""
        problem = Document("f", "").problem(("a", 0), "x")
        self.assertEqual((problem.line, problem.path), (0, "a[0]"))

    def test_secrets(self) -> None:
        """A secret is taken out of every message."""
        document = read_document_text(TEXT, "f")
        document.secrets.append("hunter2")
        self.assertEqual(document.problem((), "got 'hunter2', hunter2").message, "got the text of the file, …")


class DottedTests(SynchronousTestCase):
    """Paths as people read them."""

    def test_forms(self) -> None:
        """Keys after dots, indexes in brackets, odd keys in quotes."""
        self.assertEqual(dotted(["a", "b", 2, "c"]), "a.b[2].c")
        self.assertEqual(dotted(["a", "x.y", "z"]), 'a["x.y"].z')
        self.assertEqual(dotted([]), "")
