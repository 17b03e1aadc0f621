"""A configuration file as plain data that remembers where everything stood.

The data are ordinary dicts, lists and scalars, which pydantic takes as they are; places are kept beside them, by the
identity of the container, and looked up only when there is something to report.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from balancer.errors import Problem

__all__ = ["BROKEN", "Document", "Loc", "Mark", "Places", "Secret", "dotted"]

Loc = Sequence[str | int]
"""Where in the data: keys and indexes from the top."""

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_/<>*-]+")


class Mark(Protocol):
    """A place in the text, counted from 0; the YAML parsers' own marks fit."""

    line: int
    column: int


Places = dict[int, Any]
"""By ``id`` of a container: for a dict ``{key: (mark of key, mark of value)}``, for a list the marks of its items."""


class Secret(str):
    """Text from a ``!file``; never repeated in a message."""

    __slots__ = ()


class _Broken(str):
    """What stands for a value that could not be read; already reported, so nobody complains about it again."""

    __slots__ = ()


BROKEN = _Broken("")


class _Start:
    line = 0
    column = 0


class Document:
    """What was read from one file: ``data``, the ``problems`` found while reading, and where everything stood.

    ``file`` is the name used in problems, ``directory`` what relative paths count from.
    """

    def __init__(self, file: str, directory: str) -> None:
        self.file = file
        self.directory = directory
        self.data: Any = None
        self.problems: list[Problem] = []
        self.secrets: list[str] = []
        self.places: Places = {}
        self.root: Mark = _Start()

    def problem(self, loc: Loc, message: str, code: str = "invalid", *, key: bool = False) -> Problem:
        """Return a problem at ``loc``: at the value there, or at its key if ``key`` or if the value is a block.

        Parts of ``loc`` that are not in the data (a short form was written) are passed over.
        """
        if self.data is None:
            return Problem(self.file, 0, 0, dotted(loc), message, code)
        mark, found, _ = self._find(loc, key)
        return self.at(mark, dotted(found), message, code)

    def missing(self, loc: Loc, message: str) -> Problem:
        """Return a problem for what ought to be at ``loc``, at its parent."""
        mark, found, _ = self._find(loc[:-1], True)
        return self.at(mark, dotted([*found, loc[-1]]), message, "missing")

    def at(self, mark: Mark, path: str, message: str, code: str = "invalid") -> Problem:
        """Return a problem at ``mark``."""
        for secret in self.secrets:
            message = message.replace(repr(secret), "the text of the file").replace(secret, "…")
        return Problem(self.file, mark.line + 1, mark.column + 1, _visible(path), _visible(message), code)

    def found(self, loc: Loc) -> list[str | int]:
        """Return the parts of ``loc`` that are in the data."""
        return self._find(loc, False)[1]

    def value(self, loc: Loc) -> Any:
        """Return what stands at ``loc``, as far as it can be followed."""
        return self._find(loc, False)[2]

    def holding(self, loc: Loc, text: str) -> Loc:
        """Return the first place below ``loc`` whose own text holds ``text``; ``loc`` where there is none."""
        waiting: list[tuple[Loc, Any]] = [(loc, self.value(loc))]
        while waiting:
            place, value = waiting.pop()
            if isinstance(value, str) and text in value:
                return place
            inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
            waiting += reversed([((*place, part), each) for part, each in inner])
        return loc

    def _find(self, loc: Loc, key: bool) -> tuple[Mark, list[str | int], Any]:
        current, mark = self.data, self.root
        found: list[str | int] = []
        for part in loc:
            if id(current) not in self.places:  # places are not known here
                break
            if isinstance(current, dict) and part in current:
                of_key, of_value = self.places[id(current)][part]
                current = current[part]
                mark = of_key if key or current is None or isinstance(current, (dict, list)) else of_value
            elif isinstance(current, list) and isinstance(part, int) and 0 <= part < len(current):
                mark = self.places[id(current)][part]
                current = current[part]
            else:
                continue
            found.append(part)
        return mark, found, current


def _visible(text: str) -> str:
    """Return ``text`` with what cannot be seen, or changes how the rest is seen, written as ``\\u202e``."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def dotted(loc: Iterable[str | int]) -> str:
    """Return ``loc`` as people read it: ``listeners.web.routes[2].pool``; odd keys in quotes."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text
