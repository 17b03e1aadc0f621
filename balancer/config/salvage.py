"""What is left of a configuration when everything that its schema refuses is taken out.

A plug-in's own refusal, a filter with an unknown ``{name}``, a redirect to nowhere only show when they are built, and a
configuration with a misspelt key is never built. So that an operator reads everything in one go, what is wrong is cut
out, in pieces no larger than they have to be (a filter, a match, an action, a server), and the rest is built to see what
is wrong with that. What this makes is never run, and its problems have the places of the file as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from balancer.config.document import Document, Loc, Mark
from balancer.config.schema import Config
from balancer.errors import Problem

__all__ = ["Remainder", "remainder"]

_ROUNDS = 50
"""How often validation may find that what is left is not whole, before it is given up."""
_WHOLE = ("match", "split", "redirect", "respond", "resource", "algorithm", "health", "sticky", "access_log", "tls")
"""Sections that mean something else when a part of them is taken out; they go as a whole."""
_ENTRIES = ("filters", "servers", "tests")
"""Lists whose entries go as a whole."""
_NEEDED: Mapping[str, Any] = {
    "bind": "127.0.0.1:0",
    "servers": ["127.0.0.1:1"],
    "listeners": {"none": {"bind": "127.0.0.1:0", "pool": "none"}},
}
"""What stands in where something is wrong without which the rest is none; nothing of it is ever opened."""


class Remainder(Document):
    """The data of ``whole`` without what is wrong; problems are reported where they are in ``whole``."""

    def __init__(self, whole: Document) -> None:
        super().__init__(whole.file, whole.directory)
        self._whole = whole
        self._indexes: dict[int, list[int]] = {}  # by id of a list: where its entries are in the whole
        self._stand_ins: set[tuple[str | int, ...]] = set()
        self.data = self._copied(whole.data)

    def _copied(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._copied(each) for key, each in value.items()}
        if isinstance(value, list):
            copy = [self._copied(each) for each in value]
            self._indexes[id(copy)] = list(range(len(copy)))
            return copy
        return value

    def problem(self, loc: Loc, message: str, code: str = "invalid", *, key: bool = False) -> Problem:
        """Return a problem at ``loc`` of these data, with its place in the whole."""
        return self._whole.problem(self._in_whole(loc), message, code, key=key)

    def _find(self, loc: Loc, key: bool) -> tuple[Mark, list[str | int], Any]:
        current: Any = self.data
        found: list[str | int] = []
        for part in loc:
            is_there = (
                0 <= part < len(current)
                if isinstance(current, list) and isinstance(part, int)
                else isinstance(current, dict) and part in current
            )
            if is_there:
                current = current[part]
                found.append(part)
        return self.root, found, current

    def _in_whole(self, loc: Loc) -> Loc:
        current, found = self.data, list(loc)
        for at, part in enumerate(loc):
            if isinstance(current, list) and isinstance(part, int) and 0 <= part < len(current):
                found[at] = self._indexes[id(current)][part] if id(current) in self._indexes else part
                current = current[part]
            elif isinstance(current, dict) and part in current:
                current = current[part]
        return found

    def take_out(self, loc: Loc) -> bool:
        """Take out what is at ``loc``, or what that makes no sense without; return whether anything is left."""
        parts = _piece(self.found(loc))
        if not parts:
            return False
        *above, last = parts
        home = self.value(above)
        stand_in = _NEEDED.get(str(last)) if isinstance(home, dict) else None
        if isinstance(home, list):
            del home[int(last)]
            if id(home) in self._indexes:
                del self._indexes[id(home)][int(last)]
        elif stand_in is not None and tuple(parts) not in self._stand_ins:
            self._stand_ins.add(tuple(parts))
            home[last] = stand_in
        else:
            del home[last]
        return True

    def add_missing(self, loc: Loc) -> bool:
        """Put in what stands in for what is missing at ``loc``, or take its surroundings out."""
        *above, last = loc
        home, found = self.value(above), self.found(above)
        stand_in = _NEEDED.get(str(last))
        place = (*found, last)
        if stand_in is None or not isinstance(home, dict) or place in self._stand_ins:
            return self.take_out(above)
        self._stand_ins.add(place)
        home[last] = stand_in
        return True


def _piece(loc: Loc) -> list[str | int]:
    """Return the place of the whole piece that goes with what is at ``loc``."""
    parts = list(loc)
    for at, part in enumerate(parts):
        if part in _ENTRIES and at + 1 < len(parts):
            return parts[: at + 2]
        if part in _WHOLE and at in (0, 2, 4):  # keys of the top, a pool, a route: never somebody's name
            return parts[: at + 1]
    return parts


def remainder(document: Document, context: Mapping[str, Any]) -> tuple[Config, Remainder] | None:
    """Return what is valid of ``document``, and its data; None where that is nothing.

    ``context`` is that of the validation.
    """
    left = Remainder(document)
    for _ in range(_ROUNDS):
        try:
            config = Config.model_validate(left.data, context=context)
        except ValidationError as error:
            if not _cut(left, error):
                return None
        else:
            config.remember_places(left)
            return config, left
    return None


def _cut(left: Remainder, error: ValidationError) -> bool:
    """Take out everything that ``error`` speaks of, the last first, so that the places of the others stay true."""
    places: dict[tuple[str | int, ...], bool] = {}
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        loc = tuple(each["loc"])
        loc = loc[:-1] if loc and loc[-1] == "[key]" else loc
        if each["type"] == "missing":
            places[(*left.found(loc[:-1]), loc[-1])] = True
        else:
            places.setdefault(tuple(_piece(left.found(loc))), False)
    for place in sorted(places, key=lambda place: [(isinstance(part, int), part) for part in place], reverse=True):
        whole = (
            left.add_missing(place) if places[place] else (tuple(left.found(place)) != place or left.take_out(place))
        )
        if not whole:
            return False
    return bool(places)
