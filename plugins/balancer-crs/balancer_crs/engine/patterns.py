r"""Regular expressions of rules, matched in linear time: RE2 on bytes, ``.`` is any byte, ``^`` and ``$`` are the ends of the text.

Rules are written for PCRE. What RE2 says otherwise is rewritten (``\s`` takes ``\v`` too); what it cannot say (look-ahead,
back-references, possessive quantifiers) is left to the ``regex`` package, under a time limit, and reported.

A :class:`Bundle` asks a few expressions at once whether they can be found at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

import re2

BUNDLE = 3
"""Expressions in one set. More look superb on the same text again and again, and thrash on texts that differ."""

_MEMORY = 64 << 20
_TIME = 0.05
"""Seconds one search of what RE2 refused may take."""

_TOKEN = re.compile(rb"\\.|\[\^?\]?|\]|[^\\\[\]]+", re.DOTALL)
_POSIX = re.compile(rb"\[:\^?[a-z]+:\]")
_BOUND = re.compile(rb"\\[AzZGQ]|\(\?[a-zA-Z]*-")
_INLINE = {
    rb"\s": rb"[\s\x0b]",
    rb"\S": rb"[^\s\x0b]",
    rb"\h": rb"[\t ]",
    rb"\H": rb"[^\t ]",
    rb"\R": rb"(?:\r\n|[\n-\r])",
}
_IN_CLASS = {rb"\s": rb"\s\x0b", rb"\h": rb"\t "}

Captures = tuple[bytes, ...]


class Search(Protocol):
    """A compiled expression."""

    def find(self, value: bytes) -> Captures | None:
        """Return what was found and its groups, the first match; None if nothing was."""

    def found(self, value: bytes) -> bool:
        """Return whether it is found."""


class TimeLimitError(Exception):
    """A search by backtracking was broken off: the value was made to be slow, or the rule is."""


def options(*, case: bool = True) -> Any:
    """Return how RE2 is to work: on bytes, with enough memory, silently."""
    chosen = re2.Options()
    chosen.encoding = re2.Options.Encoding.LATIN1
    chosen.max_mem = _MEMORY
    chosen.log_errors = False
    chosen.case_sensitive = case
    return chosen


def to_re2(pattern: bytes) -> bytes:
    r"""Return the expression as RE2 has to read it to mean what PCRE means."""
    out, inside, at = [], False, 0
    while at < len(pattern):
        if inside and (posix := _POSIX.match(pattern, at)):
            out.append(posix[0])
            at = posix.end()
            continue
        found = _TOKEN.match(pattern, at)
        if found is None:
            return pattern
        token, at = found[0], found.end()
        if token[:1] == b"\\":
            token = (_IN_CLASS if inside else _INLINE).get(token, token)
        elif token[:1] == b"[":
            if inside:
                token, at = rb"\[", found.start() + 1
            else:
                inside = True
        elif token == b"]" and inside:
            inside = False
        out.append(token)
    return b"".join(out)


class Linear:
    """An expression that RE2 takes.

    Attributes:
        scan: the expression for a :class:`Bundle` that looks at values joined by newlines; None if that would miss something.
    """

    __slots__ = ("_regexp", "_unanchored", "pattern", "scan")

    def __init__(self, pattern: bytes) -> None:
        translated = to_re2(pattern)
        self.pattern = pattern
        compiled = re2.compile(b"(?s)" + translated, options())
        self._regexp = compiled._regexp
        self._unanchored = re2._Anchor.UNANCHORED
        self.scan = None if _BOUND.search(translated) else b"(?sm)" + translated

    def find(self, value: bytes) -> Captures | None:
        spans = self._regexp.Match(self._unanchored, value, 0, len(value))
        if not spans or spans[0][0] < 0:
            return None
        return tuple(value[start:end] if start >= 0 else b"" for start, end in spans[:10])

    def found(self, value: bytes) -> bool:
        spans = self._regexp.Match(self._unanchored, value, 0, len(value))
        return bool(spans) and spans[0][0] >= 0

    def __repr__(self) -> str:
        return f"<Linear {self.pattern[:40]!r}>"


class Backtracking:
    """An expression that RE2 refuses, searched by ``regex`` as long as it is quick."""

    __slots__ = ("_compiled", "pattern", "scan")

    def __init__(self, pattern: bytes) -> None:
        import regex  # type: ignore[import-untyped]

        self.pattern = pattern
        self.scan: bytes | None = None
        self._compiled = regex.compile(pattern, regex.DOTALL | regex.VERSION0)

    def find(self, value: bytes) -> Captures | None:
        try:
            found = self._compiled.search(value, timeout=_TIME)
        except TimeoutError:
            raise TimeLimitError(self.pattern) from None
        return None if found is None else tuple(group or b"" for group in (found[0], *found.groups()[:9]))

    def found(self, value: bytes) -> bool:
        return self.find(value) is not None

    def __repr__(self) -> str:
        return f"<Backtracking {self.pattern[:40]!r}>"


def compiled(pattern: bytes) -> tuple[Linear | Backtracking, str | None]:
    """Return the expression, ready, and why it is not linear, if it is not.

    Raises:
        ValueError: nobody can read it.
    """
    try:
        return Linear(pattern), None
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
    try:
        return Backtracking(pattern), reason
    except ImportError:
        raise ValueError(
            f"RE2 does not take the expression ({reason}), and the package regex is not installed"
        ) from None
    except Exception as error:
        raise ValueError(f"no expression: {error}") from None


def phrases(words: Sequence[bytes]) -> Linear:
    """Return an expression that finds any of the words, in capitals or not."""
    unique = sorted({word.lower() for word in words if word})
    return Linear(b"(?i:" + b"|".join(_literal(word) for word in unique) + b")")


def _literal(word: bytes) -> bytes:
    return b"".join(bytes([code]) if chr(code).isalnum() and code < 128 else b"\\x%02x" % code for code in word)


class Bundle:
    """A few expressions that are looked for at once.

    A set that runs out of memory says that nothing was found. So the empty expression is among them, which is always found:
    if it is not, the others are looked for one by one.

    Args:
        patterns: for RE2, complete with their flags.
    """

    __slots__ = ("_alone", "_canary", "_set", "exhausted")

    def __init__(self, patterns: Sequence[bytes]) -> None:
        self.exhausted = 0
        self._alone = [re2.compile(pattern, options()) for pattern in patterns]
        self._canary = len(patterns)
        self._set = re2.Set.SearchSet(options())
        for pattern in patterns:
            self._set.Add(pattern)
        self._set.Add(b"")
        self._set.Compile()

    def find(self, text: bytes) -> frozenset[int]:
        """Return the places of those that are in the text."""
        found = self._set.Match(text)
        if len(found) == 1 and found[0] == self._canary:
            return _NOTHING
        if self._canary not in found:
            self.exhausted += 1
            return frozenset(place for place, each in enumerate(self._alone) if each.search(text))
        return frozenset(found)

    def __len__(self) -> int:
        return self._canary

    def __repr__(self) -> str:
        return f"<Bundle of {self._canary}>"


_NOTHING: frozenset[int] = frozenset()
