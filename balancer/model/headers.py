"""Header fields as they travel: an ordered list of raw ``(name, value)`` pairs, case and repeats kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = ["RawHeaders", "first", "remove", "replace", "values", "without"]

RawHeaders = list[tuple[bytes, bytes]]


def values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> Iterator[bytes]:
    """Yield the value of each field called ``name`` (given in lower case), in order."""
    for key, value in headers:
        if key.lower() == name:
            yield value


def first(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """Return the value of the first field called ``name`` (given in lower case), or None."""
    size = len(name)
    for key, value in headers:  # asked on the path of every call of gRPC: no generator
        if len(key) == size and key.lower() == name:
            return value
    return None


def without(headers: Iterable[tuple[bytes, bytes]], names: Iterable[bytes]) -> RawHeaders:
    """Return a new list without the fields called any of ``names`` (lower case)."""
    unwanted = frozenset(names)
    return [pair for pair in headers if pair[0].lower() not in unwanted]


def remove(headers: RawHeaders, name: bytes) -> None:
    """Take every field called ``name`` (lower case) out of ``headers``, in place."""
    headers[:] = [pair for pair in headers if pair[0].lower() != name]


def replace(headers: RawHeaders, name: bytes, value: bytes) -> None:
    """Leave exactly one field ``name: value``, where the first of that name stood, else at the end; in place."""
    lowered = name.lower()
    for at, (key, _) in enumerate(headers):
        if key.lower() == lowered:
            rest = [pair for pair in headers[at + 1 :] if pair[0].lower() != lowered]
            headers[at:] = [(name, value), *rest]
            return
    headers.append((name, value))
