"""Paths: one pattern compiled, as a condition with captures, and how specific it is.

Matching is by segments of the normalised, decoded path. A captured segment is decoded text; bytes that are not
UTF-8 stay as surrogates. Regular expressions see the path's UTF-8 bytes and are found anywhere in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import re2
from zope.interface import implementer

from balancer.hooks.interfaces import IMatcher
from balancer.model.facts import RequestFacts
from balancer.model.patterns import PathPattern
from balancer.model.raw_path import RawPath
from balancer.model.target import normalised_path

__all__ = ["CompiledPath", "PathMatcher", "compile_regex", "path_precedence"]

Precedence = tuple[int, int, tuple[bool, ...]]


def compile_regex(expression: str) -> re2._Regexp:
    """Compile an RE2 expression that has been checked; it may be run on ``bytes`` (UTF-8)."""
    options = re2.Options()
    options.log_errors = False
    return re2.compile(expression, options)


def path_precedence(pattern: PathPattern | None) -> Precedence:
    """Return a sort key, most specific first.

    Exact, then template, then the longest prefix (a template ending in ``/**`` is a prefix), then regex, then no
    pattern. Of two templates or prefixes of one length the one with the earlier literal segment comes first, so
    ``/users/me/**`` precedes ``/users/{id}/**``.
    """
    if pattern is None:
        return (4, 0, ())
    if pattern.kind == "regex":
        return (3, 0, ())
    variables = tuple(_is_variable(pattern, segment) for segment in pattern.segments)
    if pattern.open_ended:
        return (2, -len(pattern.segments), variables)
    return (1, 0, variables) if pattern.kind == "template" else (0, 0, ())


def _is_variable(pattern: PathPattern, segment: str) -> bool:
    return pattern.kind == "template" and segment.startswith("{")


class CompiledPath:
    """One :class:`PathPattern` ready to match; ``names`` are what it captures."""

    __slots__ = ("_groups", "_regex", "_segments", "_variables", "names", "pattern")

    def __init__(self, pattern: PathPattern) -> None:
        self.pattern = pattern
        self._segments = pattern.segments
        self._variables = tuple(
            (at, segment[1:-1]) for at, segment in enumerate(pattern.segments) if _is_variable(pattern, segment)
        )
        self._regex = compile_regex(pattern.text) if pattern.kind == "regex" else None
        self._groups: dict[str, int] = dict(self._regex.groupindex) if self._regex is not None else {}
        self.names = tuple(self._groups) if self._groups else tuple(name for _, name in self._variables)

    @property
    def length(self) -> int | None:
        """How many segments the pattern itself takes; None for a regex."""
        return None if self._regex is not None else len(self._segments)

    def matches(self, path: str) -> bool:
        """Return whether the normalised ``path`` matches."""
        pattern = self.pattern
        if self._regex is not None:
            return self._regex.search(path.encode("utf-8", "surrogateescape")) is not None
        if pattern.kind == "exact":
            return path == pattern.text
        segments = path.split("/")[1:]
        wanted = self._segments
        if len(segments) < len(wanted) or (len(segments) > len(wanted) and not pattern.open_ended):
            return False
        if pattern.kind == "prefix":
            return tuple(segments[: len(wanted)]) == wanted
        return all(
            bool(got) if want.startswith("{") else got == want for want, got in zip(wanted, segments, strict=False)
        )

    def captures(self, path: str) -> dict[str, str]:
        """Return the variables' values for a ``path`` that matches; a group that took no part is ``""``."""
        if self._variables:
            segments = path.split("/")
            return {name: segments[at + 1] for at, name in self._variables}
        if self._regex is not None and self._groups:
            found = self._regex.search(path.encode("utf-8", "surrogateescape"))
            if found is not None:
                return {
                    name: (found.group(number) or b"").decode("utf-8", "surrogateescape")
                    for name, number in self._groups.items()
                }
        return {}

    def raw_captures(self, path: RawPath) -> dict[str, str]:
        """Return the same of a path that matches, as it was sent."""
        if self._variables:
            return {name: path.segment(at) for at, name in self._variables}
        if self._regex is not None and self._groups:
            found = self._regex.search(normalised_path(path.raw).encode("utf-8", "surrogateescape"))
            if found is not None:
                spans = {name: found.span(number) for name, number in self._groups.items()}
                return {name: path.span(*span) if span[0] >= 0 else "" for name, span in spans.items()}
        return {}

    def rest(self, path: str) -> str:
        """Return what of ``path`` lies below an open-ended pattern, without a leading slash; ``""`` for others."""
        if not self.pattern.open_ended:
            return ""
        parts = path.split("/", len(self._segments) + 1)
        return parts[-1] if len(parts) == len(self._segments) + 2 else ""

    def __repr__(self) -> str:
        return f"<CompiledPath {self.pattern}>"


@implementer(IMatcher)
@dataclass(frozen=True, slots=True)
class PathMatcher:
    """Holds where the path matches one of ``patterns``; used where the index cannot be, inside ``any`` and ``not``."""

    patterns: tuple[PathPattern, ...]
    _compiled: tuple[CompiledPath, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_compiled", tuple(CompiledPath(pattern) for pattern in self.patterns))

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether the request's path matches one of the patterns."""
        path = facts.path
        return any(compiled.matches(path) for compiled in self._compiled)

    def describe(self) -> str:
        """Return ``path is /a/** or /b``."""
        return f"path is {' or '.join(map(str, self.patterns))}"
