r"""From a file's text to directives: lines joined, comments left out, words cut, each character's line still known.

A line that ends in a backslash goes on in the next one. A comment (``#`` first) is one line, whatever it ends in. Words are
separated by blanks, or stand in double quotes, where ``\"`` is a quote and every other backslash is itself.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from balancer_crs.lang.errors import RuleError
from balancer_crs.lang.model import Where

__all__ = ["Directive", "Word", "directives", "read_text", "spoken"]

LARGEST = 16 << 20
"""Bytes of a rule file, or of a file of data, that are read."""

_BLANKS = " \t\r\n\v\f"


@dataclass(frozen=True, slots=True)
class _Lines:
    """Where the physical lines of a logical one begin."""

    file: str
    starts: tuple[int, ...]
    first: int

    def at(self, offset: int) -> Where:
        return Where(self.file, self.first + max(bisect_right(self.starts, offset) - 1, 0))


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a directive, unquoted."""

    text: str
    lines: _Lines
    start: int
    gone: tuple[int, ...] = ()
    """Before which characters of the text a backslash was taken away."""

    def where(self, index: int = 0) -> Where:
        """Return the place of a character of the text."""
        return self.lines.at(self.start + index + bisect_right(self.gone, index))


@dataclass(frozen=True, slots=True)
class Directive:
    """A directive's name and what follows it."""

    name: str
    words: tuple[Word, ...]
    where: Where


def read_text(path: Path, where: Where) -> str:
    """Return a file's text.

    Raises:
        RuleError: it cannot be read, or is too large; ``where`` is the place that named it.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise RuleError(where, f"{path} cannot be read: {reason}") from None
    if len(data) > LARGEST:
        raise RuleError(where, f"{path} is larger than {LARGEST} bytes")
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def directives(text: str, file: str) -> Iterator[Directive]:
    """Yield the directives of a rule file's text.

    Raises:
        RuleError: a quote is never closed, or the file ends in the middle of a line.
    """
    for joined, lines in _joined(text, file):
        words = _words(joined, lines)
        yield Directive(words[0].text, tuple(words[1:]), words[0].where())


def spoken(source: str, name: str, *words: str) -> Directive:
    """Return a directive that stands in no file; ``source`` is what errors name instead."""
    lines = _Lines(source, (0,), 1)
    return Directive(name, tuple(Word(word, lines, 0) for word in words), lines.at(0))


def _joined(text: str, file: str) -> Iterator[tuple[str, _Lines]]:
    parts: list[str] = []
    starts: list[int] = []
    length = first = 0
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.removesuffix("\r")
        if not parts:
            bare = line.lstrip(_BLANKS)
            if not bare or bare.startswith("#"):
                continue
            first = number
        starts.append(length)
        more = line.endswith("\\")
        part = line[:-1] if more else line
        parts.append(part)
        length += len(part)
        if not more:
            joined = "".join(parts)
            if joined.strip(_BLANKS):
                yield joined, _Lines(file, tuple(starts), first)
            parts, starts, length = [], [], 0
    if parts:
        raise RuleError(
            Where(file, first), "the file ends in the middle of this directive: its last line ends in a backslash"
        )


def _words(text: str, lines: _Lines) -> list[Word]:
    words: list[Word] = []
    at, end = 0, len(text)
    while True:
        while at < end and text[at] in _BLANKS:
            at += 1
        if at == end:
            return words
        if text[at] == '"':
            word, at = _quoted(text, at, lines)
            if at < end and text[at] not in _BLANKS:
                raise RuleError(lines.at(at), f"expected a blank after the closing quote, not {text[at : at + 20]!r}")
        else:
            start = at
            while at < end and text[at] not in _BLANKS:
                at += 1
            word = Word(text[start:at], lines, start)
        words.append(word)


def _quoted(text: str, at: int, lines: _Lines) -> tuple[Word, int]:
    start = at + 1
    pieces: list[str] = []
    gone: list[int] = []
    length, begun = 0, start
    at = start
    while True:
        quote = text.find('"', at)
        if quote < 0:
            raise RuleError(lines.at(start - 1), "a quote is opened here and never closed")
        if text[quote - 1] == "\\" and quote > start:
            pieces.append(text[begun : quote - 1])
            length += quote - 1 - begun
            gone.append(length)
            begun = quote
            at = quote + 1
        else:
            pieces.append(text[begun:quote])
            return Word("".join(pieces), lines, start, tuple(gone)), quote + 1
