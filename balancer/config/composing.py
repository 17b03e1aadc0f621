"""From a YAML parser's events to data with places.

Not the parsers' own composers, because those know only the place where an aliased value was defined, recurse on the
stack, and build a node for every scalar: 100,000 routes are a million events. This one keeps its own stack, so depth is
a limit we choose; counts what aliases expand to, since everything behind it walks the expanded tree; and goes on after
a problem, so that all are reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from balancer.config.document import BROKEN, Document, Mark, dotted
from balancer.config.scalars import plain_value, secret_from, substituted

__all__ = ["DEEPEST", "MOST_EXPANDED", "Composer", "UnreadableError"]

DEEPEST = 64
"""How deep mappings and lists may be nested."""

MOST_EXPANDED = 1_000_000
"""How many values aliases may add to a file."""

_TAG = "tag:yaml.org,2002:"
_MERGE = str("<" + "<")  # an object of its own: a quoted "<<" is a key like any other
_CORE = {f"{_TAG}{name}" for name in ("int", "float", "bool", "null")}


class UnreadableError(Exception):
    """The document cannot be read any further; carries the place and what is wrong."""

    def __init__(self, mark: Mark, message: str, code: str = "syntax") -> None:
        super().__init__(message)
        self.mark = mark
        self.message = message
        self.code = code


class _Open:
    """A mapping or list whose end has not come yet."""

    __slots__ = ("anchor", "key", "key_mark", "mark", "marks", "merges", "size", "value")

    def __init__(self, value: Any, mark: Mark, anchor: str | None) -> None:
        self.value = value
        self.mark = mark
        self.anchor = anchor
        self.marks: Any = {} if isinstance(value, dict) else []
        self.key: str | None = None
        self.key_mark: Mark = mark
        self.merges: list[tuple[Any, Mark]] = []
        self.size = 1


class Composer:
    """Builds ``document`` from events. Events are told apart by the name of their class, the same in every parser."""

    def __init__(self, document: Document, environment: Mapping[str, str]) -> None:
        self._document = document
        self._environment = environment
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._expanded = 0
        self._documents = 0

    def compose(self, events: Iterable[Any]) -> None:
        """Take every event and fill in the document.

        Raises:
            UnreadableError: if there is no going on.
        """
        kinds: dict[type, str] = {}
        for event in events:
            cls = type(event)
            kind = kinds.get(cls)
            if kind is None:
                kind = kinds[cls] = cls.__name__
            if kind == "ScalarEvent":
                self._scalar(event)
            elif kind == "MappingEndEvent" or kind == "SequenceEndEvent":
                self._close()
            elif kind == "MappingStartEvent":
                self._open({}, event)
            elif kind == "SequenceStartEvent":
                self._open([], event)
            elif kind == "AliasEvent":
                self._alias(event)
            elif kind == "DocumentStartEvent":
                self._documents += 1
                if self._documents > 1:
                    raise UnreadableError(event.start_mark, "expected one document, got a second after '---'")

    def _scalar(self, event: Any) -> None:
        text = event.value
        mark = event.start_mark
        stack = self._stack
        if stack and stack[-1].key is None and type(stack[-1].value) is dict:
            self._key(stack[-1], text, mark, event)
            return
        tag = event.tag
        if "${" in text or not (tag is None or tag == "!"):
            value = self._special(text, tag, event.implicit[0], mark)
        elif tag is None and event.implicit[0]:
            try:
                value = plain_value(text)
            except ValueError as error:
                self._problem(mark, str(error), "number")
                value = BROKEN
        else:
            value = text
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1)
        self._put(value, mark, 1)

    def _key(self, frame: _Open, text: str, mark: Mark, event: Any) -> None:
        if event.anchor is not None:
            self._anchors[event.anchor] = (text, 1)
        if text == "<<" and event.implicit[0]:
            frame.key, frame.key_mark = _MERGE, mark
            return
        if text in frame.value:
            first = frame.marks[text][0].line + 1
            self._problem(mark, f"expected each key once, '{text}' was there in line {first}", "duplicate", text)
        frame.key, frame.key_mark = text, mark

    def _special(self, text: str, tag: str | None, plain: bool, mark: Mark) -> Any:
        """Read a scalar with a tag or a ``${}``."""
        try:
            whole = substituted(text, self._environment) if "${" in text else text
            if tag == "!file":
                secret = secret_from(whole, self._document.directory)
                if secret:
                    self._document.secrets.append(str(secret))
                return secret
        except ValueError as error:
            self._problem(mark, str(error), "secret" if tag == "!file" else "environment")
            return BROKEN
        if (tag is None and plain and whole) or tag in _CORE:
            try:
                return plain_value(whole)
            except ValueError as error:
                self._problem(mark, str(error), "number")
                return BROKEN
        if tag not in (None, "!", f"{_TAG}str"):
            self._problem(mark, f"expected no tag but !file, got '{tag.replace(_TAG, '!!')}'", "tag")
        return whole

    def _open(self, value: Any, event: Any) -> None:
        mark = event.start_mark
        stack = self._stack
        if len(stack) >= DEEPEST:
            raise UnreadableError(mark, f"expected at most {DEEPEST} levels of nesting", "nesting")
        if stack and stack[-1].key is None and type(stack[-1].value) is dict:
            raise UnreadableError(mark, "expected a key of plain text (quote a text that begins with '[' or '{')")
        tag = event.tag
        if tag is not None and tag not in ("!", f"{_TAG}map", f"{_TAG}seq"):
            self._problem(mark, f"expected no tag here, got '{tag.replace(_TAG, '!!')}'", "tag")
        if event.anchor is not None:
            self._anchors[event.anchor] = (None, 0)
        stack.append(_Open(value, mark, event.anchor))

    def _close(self) -> None:
        frame = self._stack.pop()
        if frame.merges:
            self._merge(frame)
        self._document.places[id(frame.value)] = frame.marks
        if frame.anchor is not None:
            self._anchors[frame.anchor] = (frame.value, frame.size)
        self._put(frame.value, frame.mark, frame.size)

    def _alias(self, event: Any) -> None:
        mark, name = event.start_mark, event.anchor
        if name not in self._anchors:
            raise UnreadableError(mark, f"there is no anchor '&{name}' before this (quote a text that begins with '*')")
        value, size = self._anchors[name]
        if size == 0:
            raise UnreadableError(mark, f"the alias '*{name}' is inside the value that it stands for", "alias")
        self._expanded += size
        if self._expanded > MOST_EXPANDED:
            raise UnreadableError(mark, f"expected aliases to add at most {MOST_EXPANDED:,} values", "alias")
        stack = self._stack
        if stack and stack[-1].key is None and type(stack[-1].value) is dict:
            raise UnreadableError(mark, "expected a key of plain text, not an alias")
        self._put(value, mark, size)

    def _put(self, value: Any, mark: Mark, size: int) -> None:
        """Put a complete value where it belongs."""
        if not self._stack:
            self._document.data, self._document.root = value, mark
            return
        frame = self._stack[-1]
        frame.size += size
        key = frame.key
        if type(frame.value) is list:
            frame.value.append(value)
            frame.marks.append(mark)
        elif key is _MERGE:
            frame.merges.append((value, mark))
        elif key not in frame.value:
            frame.value[key] = value
            frame.marks[key] = (frame.key_mark, mark)
        frame.key = None

    def _merge(self, frame: _Open) -> None:
        """Add what ``<<`` brings; the mapping's own keys come first, then earlier merges."""
        for source, mark in frame.merges:
            for part in source if isinstance(source, list) else [source]:
                if not isinstance(part, dict):
                    self._problem(mark, "expected a mapping, or a list of mappings, after '<<'", "merge")
                    continue
                places = self._document.places[id(part)]
                for key, value in part.items():
                    if key not in frame.value:
                        frame.value[key] = value
                        frame.marks[key] = places[key]

    def _problem(self, mark: Mark, message: str, code: str, key: str = "") -> None:
        path = [frame.key if frame.key is not None else len(frame.value) for frame in self._stack]
        if key:
            path[-1] = key
        elif self._stack and type(self._stack[-1].value) is dict and self._stack[-1].key is None:
            path.pop()
        self._document.problems.append(self._document.at(mark, dotted(path), message, code))
