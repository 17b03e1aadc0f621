"""Tests for :mod:`balancer.config.composing`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.config import composing
from balancer.config.document import Document
from balancer.config.reading import read_document_text
from balancer.errors import ConfigurationError


def _read(text: str) -> Document:
    return read_document_text(text, "f", environment={"N": "5", "EMPTY": ""})


class ComposerTests(SynchronousTestCase):
    """From events to data."""

    def _refused(self, text: str) -> str:
        error = self.assertRaises(ConfigurationError, _read, text)
        return str(error.problems[-1])

    def test_values(self) -> None:
        """Mappings, lists and scalars of both styles; keys are text."""
        self.assertEqual(
            _read("a: [1, '1', yes]\n80: {b: null}\ntrue: |\n  x\n").data,
            {"a": [1, "1", "yes"], "80": {"b": None}, "true": "x\n"},
        )

    def test_tags(self) -> None:
        """The core tags are obeyed, others are problems."""
        document = _read("a: !!str 5\nb: !!int '5'\nc: ! 5\nd: !!map {}\ne: !python x\nf: !set [1]\n")
        self.assertEqual(document.data["a"], "5")
        self.assertEqual(document.data["b"], 5)
        self.assertEqual(
            [str(problem) for problem in document.problems],
            ["f:5:4: e: expected no tag but !file, got '!python'", "f:6:4: f: expected no tag here, got '!set'"],
        )

    def test_environment(self) -> None:
        """An unquoted value is read after its variables are replaced, a quoted one stays text, keys are left alone."""
        document = _read("a: ${N}\nb: '${N}'\nc: ${N}s\n${N}: d\ne: ${EMPTY}\n")
        self.assertEqual(document.data, {"a": 5, "b": "5", "c": "5s", "${N}": "d", "e": ""})

    def test_duplicate_keys(self) -> None:
        """A key twice is a problem at the second, at any depth; reading goes on."""
        document = _read("a: {x: 1, x: 2}\nb:\n  - y: 1\n    z: 2\n    y: 3\na: 5\n")
        self.assertEqual(
            [(problem.line, problem.column, problem.path) for problem in document.problems],
            [(1, 11, "a.x"), (5, 5, "b[0].y"), (6, 1, "a")],
        )
        self.assertIn("was there in line 3", document.problems[1].message)
        self.assertEqual(document.data["b"], [{"y": 1, "z": 2}])

    def test_aliases(self) -> None:
        """An alias stands for its value; its places are those of the definition."""
        document = _read("a: &x {b: 1}\nc: *x\nd: [&y 2, *y]\n")
        self.assertEqual(document.data, {"a": {"b": 1}, "c": {"b": 1}, "d": [2, 2]})
        self.assertEqual(document.problem(("c", "b"), "").line, 1)

    def test_merge(self) -> None:
        """``<<`` adds what the mapping does not have; the first of several wins; in quotes it is a key."""
        document = _read(
            "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: *a, x: 0}\nd: {<<: [*b, *a]}\ne: {'<<': 1}\nf: {<<: {q: 1}}\n"
        )
        self.assertEqual(document.data["c"], {"x": 0, "y": 2})
        self.assertEqual(document.data["d"], {"y": 3, "z": 4, "x": 1})
        self.assertEqual(document.data["e"], {"<<": 1})
        self.assertEqual(document.data["f"], {"q": 1})
        self.assertEqual(document.problem(("c", "y"), "").line, 1)
        self.assertEqual(len(_read("a: {<<: 5}").problems), 1)
        self.assertEqual(len(_read("a: {<<: [5]}").problems), 1)

    def test_recursion(self) -> None:
        """An alias inside its own value is refused at the alias."""
        self.assertIn("f:1:8: the alias '*x' is inside", self._refused("a: &x [*x]"))
        self.assertIn("f:3:7: the alias '*x' is inside", self._refused("a: &x\n  b:\n    - *x"))

    def test_billion_laughs(self) -> None:
        """Aliases of aliases that grow beyond bounds are refused, and cost nothing."""
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]" for at in range(1, 30)]
        self.assertIn("aliases to add at most 1,000,000 values", self._refused("\n".join(lines)))

    def test_nesting(self) -> None:
        """Deep nesting is refused at the level too many, however much follows."""
        fine = "[" * composing.DEEPEST + "]" * composing.DEEPEST
        self.assertEqual(len(_read(fine).data), 1)
        self.assertIn("f:1:65: expected at most 64 levels", self._refused("[" * 100_000))
        self.assertIn("expected at most 64 levels", self._refused("{a: " * 10_000))
        self.assertIn("expected at most 64 levels", self._refused("".join("  " * at + "a:\n" for at in range(200))))

    def test_odd_keys(self) -> None:
        """Keys are plain text: no lists, mappings or aliases."""
        for text in ("[a]: b", "? {a: b}\n: c", "a: &x b\n*x : c"):
            with self.subTest(text):
                self.assertIn("expected a key of plain text", self._refused(text))

    def test_unknown_alias(self) -> None:
        """A text that begins with ``*`` is the usual cause of an unknown alias, and the message says so."""
        self.assertIn("f:1:7: there is no anchor '&:80' before this (quote", self._refused("bind: *:80"))

    def test_one_document(self) -> None:
        """A second document is refused where it begins."""
        self.assertIn("f:2:1: expected one document", self._refused("a: 1\n---\nb: 2\n"))
