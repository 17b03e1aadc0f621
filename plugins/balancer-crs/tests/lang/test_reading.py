"""Tests of the way from text to directives."""

from __future__ import annotations

from pathlib import Path

from balancer_crs.lang.errors import RuleError
from balancer_crs.lang.model import Where
from balancer_crs.lang.reading import directives, read_text
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase


def words(text: str) -> list[tuple[str, ...]]:
    return [(each.name, *(word.text for word in each.words)) for each in directives(text, "f")]


class ReadingTests(SynchronousTestCase):
    def test_words(self) -> None:
        """Words are separated by blanks; in quotes, blanks belong to them and an escaped quote is a quote."""
        self.assertEqual(
            words('A b\t"c d" "e\\"f" "\\\\d" ""\r\n\nB\n'), [("A", "b", "c d", 'e"f', "\\\\d", ""), ("B",)]
        )

    def test_escaped_quote_behind_a_backslash(self) -> None:
        """Only the backslash right before a quote is taken away."""
        self.assertEqual(words(r'A "a\\"b"'), [("A", 'a\\"b')])

    def test_continuation(self) -> None:
        """A line that ends in a backslash goes on in the next one; a comment does not."""
        text = 'SecRule A "x" \\\n  "id:1,\\\n  phase:2"\n# comment \\\nB c\n'
        self.assertEqual(words(text), [("SecRule", "A", "x", "id:1,  phase:2"), ("B", "c")])

    def test_places(self) -> None:
        """Each character of each word has its line."""
        text = '\n# x\nA \\\n b \\\n "c\\"\\\nd\\\ne"\n'
        found = next(iter(directives(text, "f")))
        self.assertEqual(found.where, Where("f", 3))
        first, second = found.words
        self.assertEqual(first.where(), Where("f", 4))
        self.assertEqual(second.text, 'c"de')
        self.assertEqual([second.where(each).line for each in range(4)], [5, 5, 6, 7])

    def test_refused(self) -> None:
        """Quotes that are never closed, or closed within a word, and a file that ends in the middle."""
        for text, line, reason in (
            ('\nA "b', 2, "never closed"),
            ('A \\\n"b"c', 2, "expected a blank"),
            ("\n\nA b\\", 3, "ends in the middle"),
        ):
            with self.assertRaises(RuleError) as caught:
                list(directives(text, "f"))
            self.assertEqual(caught.exception.where, Where("f", line))
            self.assertIn(reason, str(caught.exception))

    def test_bytes(self) -> None:
        """What is no UTF-8 comes through; a byte order mark does not."""
        path = Path(self.mktemp())
        path.write_bytes(b"\xef\xbb\xbfA \xff\xe4")
        text = read_text(path, Where("f", 1))
        self.assertEqual(text.encode("utf-8", "surrogateescape"), b"A \xff\xe4")

    def test_missing(self) -> None:
        """A file that is not there is told at the place that named it."""
        with self.assertRaisesRegex(RuleError, "^g:7: .*no-such cannot be read: No such file"):
            read_text(Path("no-such"), Where("g", 7))

    @given(st.lists(st.lists(st.text('ab"\\ #\t', min_size=1), min_size=1, max_size=4), max_size=4))
    def test_round_trip(self, lines: list[list[str]]) -> None:
        """What is quoted is read as it was, unless a backslash ends it."""
        lines = [[word.replace("\\", "/") for word in line] for line in lines]
        text = "\n".join(" ".join(['"X"', *('"' + word.replace('"', '\\"') + '"' for word in line)]) for line in lines)
        self.assertEqual(words(text), [("X", *line) for line in lines])
