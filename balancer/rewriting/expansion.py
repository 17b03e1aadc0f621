"""Regular expressions over bytes, and what is put in the place of a match: ``\\1``, ``\\g<name>``, ``\\\\`` and text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import re2

__all__ = ["Expansion", "byte_regex"]

_PIECE = re.compile(rb"\\(?:([0-9]{1,2})|g<([A-Za-z0-9_]+)>|(\\)|)")


def byte_regex(expression: str, *, latin: bool = False) -> Any:
    """Compile an RE2 expression to run on bytes: of UTF-8 text, or of any kind where ``latin``: then a ``.`` is one byte.

    Raises:
        ValueError: for one that does not work on bytes.
    """
    options = re2.Options()
    options.log_errors = False
    if latin:
        options.encoding = re2.Options.Encoding.LATIN1
    try:
        return re2.compile(expression.encode(), options)
    except re2.error:
        raise ValueError(f"expected an expression over bytes, got {expression!r}") from None


class Expansion:
    """What is put in the place of a match of ``pattern``.

    ``literals`` are the parts of the text that are put there as they stand.

    Raises:
        ValueError: for a group that the pattern does not have.
    """

    __slots__ = ("_pieces", "text")

    def __init__(self, text: str, pattern: Any) -> None:
        self.text = text
        raw = text.encode()
        names: dict[bytes, int] = pattern.groupindex
        pieces: list[bytes | int] = []
        end = 0
        for found in _PIECE.finditer(raw):
            pieces.append(raw[end : found.start()])
            end = found.end()
            number, name, backslash = found.groups()
            if backslash:
                pieces.append(backslash)
                continue
            group = int(number) if number else names.get(name, int(name) if name.isdigit() else -1) if name else -1
            if not 0 <= group <= pattern.groups:
                raise ValueError(f"expected \\1, \\g<name> or \\\\ for a group of the expression, got {text!r}")
            pieces.append(group)
        pieces.append(raw[end:])
        self._pieces = tuple(piece for piece in pieces if piece != b"")

    @property
    def literals(self) -> tuple[bytes, ...]:
        """The text between the groups."""
        return tuple(piece for piece in self._pieces if isinstance(piece, bytes))

    def of(self, found: Any) -> bytes:
        """Return it for one match; a group that took no part is empty."""
        return b"".join(piece if isinstance(piece, bytes) else found.group(piece) or b"" for piece in self._pieces)

    def with_groups(self, group: Callable[[int], str]) -> str:
        """Return it as text, with what ``group(number)`` says of each group."""
        return "".join(piece.decode() if isinstance(piece, bytes) else group(piece) for piece in self._pieces)

    def __repr__(self) -> str:
        return f"<Expansion {self.text!r}>"
