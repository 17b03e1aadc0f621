"""Whether two answers to one request are the same: a plain decision, made of what was kept of both.

Headers that repeat are compared as the list of their values. Bodies in JSON are compared by what they say: the order of names does
not count, ``1`` and ``1.0`` are the same. What is not JSON is compared byte for byte. Bodies that are too long to be kept, or
compressed, cannot be compared by what they say: that is told apart from a difference.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from balancer.filters.mirror import CompareSettings
from balancer.model.headers import RawHeaders

__all__ = ["Answer", "Capture", "Comparison", "Difference", "differences"]

_MOST = 10
"""Differences of a body that are told; one that has more is told to have as many."""
_LONGEST = 100
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known of an answer. ``body`` is None where it was not kept, or is too long, or compressed."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    digest: bytes = b""
    size: int = 0
    body: bytes | None = None

    def values(self, name: str) -> str | None:
        """The values of one header in their order, None if it is not there."""
        found = [value for key, value in self.headers if key == name]
        return ", ".join(found) if found else None


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same: ``status``, ``header``, ``body``, or ``unknown`` where bodies could not be compared.

    ``at`` is the name of the header, or the JSON pointer; the values are cut.
    """

    kind: str
    at: str = ""
    primary: str = ""
    mirrored: str = ""

    def as_json(self, *, values: bool) -> dict[str, str]:
        """Return it as a report has it."""
        told = {"kind": self.kind}
        if self.at:
            told["at"] = self.at
        return told | {"primary": self.primary, "mirror": self.mirrored} if values else told


class Capture:
    """Keeps of an answer what ``wanted`` needs, while it goes by."""

    __slots__ = ("_hash", "_headers", "_pieces", "_size", "_status", "_wanted")

    def __init__(self, wanted: CompareSettings) -> None:
        self._wanted = wanted
        self._status = 0
        self._headers: tuple[tuple[str, str], ...] = ()
        self._hash = blake2b(digest_size=16) if wanted.body is not None else None
        self._pieces: list[bytes] | None = [] if wanted.body == "json" else None
        self._size = 0

    def began(self, status: int, headers: RawHeaders) -> None:
        """The head came."""
        self._status = status
        names = {name.lower() for name in self._wanted.headers}
        pairs = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
        self._headers = tuple(pair for pair in pairs if pair[0] in names)
        if any(name == "content-encoding" and value.lower() != "identity" for name, value in pairs):
            self._pieces = None

    def feed(self, data: bytes) -> None:
        """More of the body came."""
        self._size += len(data)
        if self._hash is not None:
            self._hash.update(data)
        if self._pieces is not None:
            if self._size > self._wanted.limit:
                self._pieces = None
            else:
                self._pieces.append(data)

    def answer(self) -> Answer:
        """Return what was kept of the answer, which is complete."""
        digest = self._hash.digest() if self._hash is not None else b""
        body = b"".join(self._pieces) if self._pieces is not None else None
        return Answer(self._status, self._headers, digest, self._size, body)


class Comparison:
    """Waits for both answers, then tells what differs.

    Args:
        wanted: what is compared.
        done: is called once with the differences, or with None if one of the answers does not come.
    """

    __slots__ = ("_answers", "_done", "wanted")

    def __init__(self, wanted: CompareSettings, done: Callable[[list[Difference] | None], None]) -> None:
        self.wanted = wanted
        self._done: Callable[[list[Difference] | None], None] | None = done
        self._answers: list[Answer | None] = [None, None]

    def primary(self, answer: Answer | None) -> None:
        """The client's server has answered, or failed."""
        self._take(0, answer)

    def mirrored(self, answer: Answer | None) -> None:
        """The mirror has answered, or failed."""
        self._take(1, answer)

    def _take(self, side: int, answer: Answer | None) -> None:
        done = self._done
        if done is None:
            return
        self._answers[side] = answer
        first, second = self._answers
        if answer is None:
            self._done = None
            done(None)
        elif first is not None and second is not None:
            self._done = None
            done(differences(first, second, self.wanted))


def differences(primary: Answer, mirrored: Answer, wanted: CompareSettings) -> list[Difference]:
    """Return what is not the same in two answers, of what ``wanted`` names; nothing if all is."""
    found = []
    if wanted.status and primary.status != mirrored.status:
        found.append(Difference("status", "", str(primary.status), str(mirrored.status)))
    for name in wanted.headers:
        ours, theirs = primary.values(name.lower()), mirrored.values(name.lower())
        if ours != theirs:
            found.append(Difference("header", name, _shown(ours), _shown(theirs)))
    if wanted.body is not None and (primary.size, primary.digest) != (mirrored.size, mirrored.digest):
        if wanted.body == "hash":
            sizes = (f"{answer.size} bytes, {answer.digest.hex()}" for answer in (primary, mirrored))
            found.append(Difference("body", "", *sizes))
        elif primary.body is None or mirrored.body is None:
            found.append(Difference("unknown", "", f"{primary.size} bytes", f"{mirrored.size} bytes"))
        else:
            found += _of_json(primary.body, mirrored.body, wanted.ignore)
    return found


def _of_json(primary: bytes, mirrored: bytes, ignore: tuple[str, ...]) -> list[Difference]:
    try:
        ours, theirs = json.loads(primary), json.loads(mirrored)
    except (ValueError, RecursionError):
        return [Difference("body", "", _shown(primary.decode("latin-1")), _shown(mirrored.decode("latin-1")))]
    ignored = [tuple(part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")) for text in ignore]
    found = []
    for path, one, other in _unlike(ours, theirs, ignored):
        pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)
        found.append(Difference("body", pointer, _shown(one), _shown(other)))
        if len(found) == _MOST:
            break
    return found


def _unlike(ours: Any, theirs: Any, ignored: list[tuple[str, ...]]) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Yield the places at which two values are not the same, but for those ignored; without recursion."""
    waiting: list[tuple[tuple[str, ...], Any, Any]] = [((), ours, theirs)]
    while waiting:
        path, one, other = waiting.pop()
        if any(_fits(path, pattern) for pattern in ignored):
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            names = sorted({*one, *other}, reverse=True)
            waiting += [((*path, name), one.get(name, _MISSING), other.get(name, _MISSING)) for name in names]
        elif isinstance(one, list) and isinstance(other, list):
            for at in reversed(range(max(len(one), len(other)))):
                mine = one[at] if at < len(one) else _MISSING
                waiting.append(((*path, str(at)), mine, other[at] if at < len(other) else _MISSING))
        elif isinstance(one, bool) is not isinstance(other, bool) or one != other:
            yield path, one, other


def _fits(path: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    return len(path) == len(pattern) and all(wanted in ("*", part) for part, wanted in zip(path, pattern, strict=True))


def _shown(value: Any) -> str:
    if value is None or value is _MISSING:
        return "" if value is None else "(not there)"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
