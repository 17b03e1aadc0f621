"""Regular-expression replacement inside header values: ``{regex: "token=[^&]*", with: "token=hidden"}``.

Works on the raw bytes, so that a value that is not UTF-8 cannot slip past: a ``.`` is one byte. In ``with``, ``\\1`` and
``\\g<name>`` stand for groups and ``\\\\`` for a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Self

import re2
from pydantic import Field, model_validator

from balancer.hooks.settings import Regex, Settings
from balancer.model.header_rules import safe_value

__all__ = ["ValueReplacement"]

_PIECE = re.compile(rb"\\(?:([0-9]{1,2})|g<([A-Za-z0-9_]+)>|(\\)|)")


class ValueReplacement(Settings):
    """What to change inside a header's value."""

    regex: Regex = Field(description="RE2 expression; every place where it is found in the value is replaced.")
    with_: str = Field(alias="with", description="What to put there; \\1 and \\g<name> stand for groups.")

    @model_validator(mode="after")
    def _usable(self) -> Self:
        self.compiled()
        return self

    def compiled(self) -> Callable[[bytes], bytes]:
        """Return a function from a value to the changed value.

        Raises:
            ValueError: for an expression that does not work on bytes, or a group in ``with`` that it does not have.
        """
        options = re2.Options()
        options.log_errors = False
        options.encoding = re2.Options.Encoding.LATIN1
        try:
            pattern = re2.compile(self.regex.encode(), options)
        except re2.error:
            raise ValueError(f"expected an expression over bytes, got {self.regex!r}") from None
        pieces = _pieces(self.with_, pattern)

        def expand(found: Any) -> bytes:
            return b"".join(piece if isinstance(piece, bytes) else found.group(piece) or b"" for piece in pieces)

        return lambda value: pattern.sub(expand, value)


def _pieces(text: str, pattern: Any) -> tuple[bytes | int, ...]:
    """Take a replacement apart into literal bytes and numbers of groups."""
    raw = text.encode()
    if safe_value(raw) != raw:
        raise ValueError(f"expected a replacement without line breaks or control characters, got {text!r}")
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
    return tuple(piece for piece in pieces if piece != b"")
