"""Text replaced in a body as it streams: what comes out does not depend on the pieces that come in.

==============  ====================================================================================================
a literal       held back is what could be its beginning: less than its length
an expression   by lines: each is looked at by itself, without its end; a longer one than ``longest`` is cut there
the same,       over lines: held back are ``longest`` bytes, and no match is longer
``across``
==============  ====================================================================================================
"""

from __future__ import annotations

from typing import Any

from balancer.model.headers import RawHeaders
from balancer.rewriting.expansion import Expansion

__all__ = ["Across", "ByLine", "Literal"]


class _Streamed:
    """What all share: nothing is said of trailers."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes:
        return self._take(data, last=False)

    def end(self, trailers: RawHeaders | None) -> tuple[bytes, RawHeaders | None]:
        return self._take(b"", last=True), trailers

    def _take(self, data: bytes, *, last: bool) -> bytes:
        raise NotImplementedError


class Literal(_Streamed):
    """Replaces ``old``, wherever it stands, by ``new``."""

    __slots__ = ("_held", "_new", "_old")

    def __init__(self, old: bytes, new: bytes) -> None:
        self._old = old
        self._new = new
        self._held = b""

    def _take(self, data: bytes, *, last: bool) -> bytes:
        parts = (self._held + data).split(self._old)
        rest = parts[-1]
        keep = 0 if last else self._begun(rest)
        self._held = rest[len(rest) - keep :]
        parts[-1] = rest[: len(rest) - keep]
        return self._new.join(parts)

    def _begun(self, rest: bytes) -> int:
        """Return how many bytes at the end of ``rest`` may be the beginning of what is looked for."""
        old = self._old
        at = rest.find(old[:1], max(0, len(rest) - len(old) + 1))
        while at >= 0:
            if old.startswith(rest[at:]):
                return len(rest) - at
            at = rest.find(old[:1], at + 1)
        return 0


class ByLine(_Streamed):
    """Replaces what ``pattern`` finds in each line."""

    __slots__ = ("_expand", "_held", "_longest", "_pattern")

    def __init__(self, pattern: Any, expansion: Expansion, longest: int) -> None:
        self._pattern = pattern
        self._expand = expansion.of
        self._longest = longest
        self._held = b""

    def _take(self, data: bytes, *, last: bool) -> bytes:
        lines = (self._held + data).split(b"\n")
        self._held = lines.pop()
        out = [self._line(line) + b"\n" for line in lines]
        longest = self._longest
        while len(self._held) > longest:
            out.append(self._one(self._held[:longest]))
            self._held = self._held[longest:]
        if last and self._held:
            out.append(self._one(self._held))
        return b"".join(out)

    def _line(self, line: bytes) -> bytes:
        longest = self._longest
        if len(line) <= longest:
            return self._one(line)
        return b"".join([self._one(line[at : at + longest]) for at in range(0, len(line), longest)])

    def _one(self, line: bytes) -> bytes:
        if line.endswith(b"\r"):
            return self._pattern.sub(self._expand, line[:-1]) + b"\r"  # type: ignore[no-any-return]
        return self._pattern.sub(self._expand, line)  # type: ignore[no-any-return]


class Across(_Streamed):
    """Replaces what ``pattern`` finds anywhere in the body, at most ``longest`` bytes."""

    __slots__ = ("_expand", "_held", "_longest", "_pattern", "_seen")

    def __init__(self, pattern: Any, expansion: Expansion, longest: int) -> None:
        self._pattern = pattern
        self._expand = expansion.of
        self._longest = longest
        self._held = b""
        self._seen = 0  # bytes at the beginning of what is held that have been dealt with, kept for '\b' and '^'

    def _take(self, data: bytes, *, last: bool) -> bytes:
        held = self._held + data
        # A match that begins here or before is all there: it has at most so many bytes.
        sure = len(held) if last else len(held) - self._longest
        at = self._seen
        out: list[bytes] = []
        done = at
        while at <= sure:
            found = self._pattern.search(held, at)
            if found is None or found.start() > sure:
                break
            start = found.start()
            if found.end() - start > self._longest:
                found = self._pattern.match(held, start, start + self._longest)
            if found is None or found.end() == start:
                at = start + 1
                continue
            out += (held[done:start], self._expand(found))
            at = done = found.end()
        edge = len(held) if last else max(done, sure)
        out.append(held[done:edge])
        context = max(0, edge - 1)
        self._held, self._seen = held[context:], edge - context
        return b"".join(out)
