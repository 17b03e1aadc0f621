"""Macros: ``%{TX.foo}`` in a text, cut out once so that nobody looks for them when a request waits."""

from __future__ import annotations

import re
from collections.abc import Callable

from balancer_crs.lang.errors import RuleError, nearest
from balancer_crs.lang.model import Piece, Reference, Text, Where
from balancer_crs.lang.names import COLLECTIONS, REFUSED_VARIABLES, VARIABLES

__all__ = ["parse_text"]

_MACRO = re.compile(r"%\{([A-Za-z_]+)(?:[.:]([^{}]*))?\}")


def parse_text(text: str, where: Callable[[int], Where], *, lenient: bool = False) -> Text:
    """Return ``text`` in pieces.

    Args:
        text: perhaps with macros.
        where: gives the place of a character of it.
        lenient: what looks like a macro of no known variable is text (in regular expressions), else an error.

    Raises:
        RuleError: a macro names no known variable.
    """
    pieces: list[Piece] = []
    end = 0
    for found in _MACRO.finditer(text):
        name = VARIABLES.get(found[1].lower())
        if name is None or (found[2] is not None and name not in COLLECTIONS):
            if lenient:
                continue
            raise RuleError(where(found.start()), _why(found, name))
        if found.start() > end:
            pieces.append(text[end : found.start()])
        pieces.append(Reference(name, found[2]))
        end = found.end()
    if end < len(text):
        pieces.append(text[end:])
    return Text(tuple(pieces))


def _why(found: re.Match[str], name: str | None) -> str:
    if name is not None:
        return f"the variable {name} of the macro {found[0]} has no members"
    if reason := REFUSED_VARIABLES.get(found[1].upper()):
        return f"the variable {found[1].upper()} of the macro {found[0]} is not supported: {reason}"
    return f"unknown variable {found[1]!r} in the macro {found[0]}{nearest(found[1], VARIABLES.values())}"
