"""The index of one host: path → the buckets of routes that may match it, most specific first.

Exact paths are one dictionary look-up. Templates and prefixes share a tree of segments with two kinds of branches,
literal and variable; walking it level by level, literal branches before variable ones, visits patterns in the order
of precedence::

    /users/{id}      root ── users ── {}  · template
    /users/**        root ── users · prefix
    /users/me/**     root ── users ── me · prefix

Neither depends on how many patterns there are, and the walk ends at the tree's depth however long the path is.
Regular expressions come after them (:mod:`.expressions`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from balancer.model.facts import RequestFacts
from balancer.routing.bucket import Bucket, Entry
from balancer.routing.expressions import ExpressionIndex

__all__ = ["PathIndex"]


class _Node:
    __slots__ = ("literal", "prefix", "template", "variable")

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.variable: _Node | None = None
        self.template: Bucket | None = None
        self.prefix: Bucket | None = None


class PathIndex:
    """The routes of one host by path. Built from entries in order of rank; read only afterwards."""

    __slots__ = ("_depth", "_exact", "_expressions", "_literal_only", "_rest", "_root")

    def __init__(self, entries: Iterable[Entry]) -> None:
        exact: dict[str, list[Entry]] = {}
        tree: dict[tuple[tuple[str | None, ...], bool], list[Entry]] = {}
        regexes: list[Entry] = []
        rest: list[Entry] = []
        for entry in entries:
            pattern = entry.pattern
            if pattern is None:
                rest.append(entry)
            elif pattern.kind == "regex":
                regexes.append(entry)
            elif pattern.kind == "exact":
                exact.setdefault(pattern.text, []).append(entry)
            else:
                template = pattern.kind == "template"
                branch = tuple(None if template and part.startswith("{") else part for part in pattern.segments)
                tree.setdefault((branch, pattern.open_ended), []).append(entry)
        self._exact = {path: Bucket(found) for path, found in exact.items()}
        self._expressions = ExpressionIndex(regexes) if regexes else None
        self._rest = Bucket(rest) if rest else None
        self._root: _Node | None = _Node() if tree else None
        self._depth = 0
        self._literal_only = True
        for (branch, open_ended), found in tree.items():
            self._plant(branch, open_ended, Bucket(found))

    def _plant(self, branch: tuple[str | None, ...], open_ended: bool, bucket: Bucket) -> None:
        node = self._root
        assert node is not None
        for segment in branch:
            if segment is None:
                self._literal_only = False
                if node.variable is None:
                    node.variable = _Node()
                node = node.variable
            else:
                node = node.literal.setdefault(segment, _Node())
        self._depth = max(self._depth, len(branch))
        if open_ended:
            node.prefix = bucket
        else:
            node.template = bucket

    def first(self, facts: RequestFacts, path: str) -> Entry | None:
        """Return the most specific entry that matches ``facts`` with the normalised ``path``, or None.

        The same as the first result over :meth:`buckets`, unrolled: this is the hot path.
        """
        bucket = self._exact.get(path)
        if bucket is not None:
            entry = bucket.first(facts)
            if entry is not None:
                return entry
        if self._root is not None:
            for bucket in self._literal_walk(path) if self._literal_only else self._walk(path):
                entry = bucket.first(facts)
                if entry is not None:
                    return entry
        if self._expressions is not None:
            entry = self._expressions.first(facts, path)
            if entry is not None:
                return entry
        return self._rest.first(facts) if self._rest is not None else None

    def buckets(self, path: str) -> Iterator[Bucket]:
        """Yield every bucket that ``path`` may match, most specific first."""
        bucket = self._exact.get(path)
        if bucket is not None:
            yield bucket
        if self._root is not None:
            yield from (self._literal_walk(path) if self._literal_only else self._walk(path))
        if self._expressions is not None:
            yield from self._expressions.buckets(path)
        if self._rest is not None:
            yield self._rest

    def _literal_walk(self, path: str) -> list[Bucket]:
        """Return the prefixes over ``path``, longest first, in a tree without variables."""
        node = self._root
        assert node is not None
        found = [node.prefix] if node.prefix is not None else []
        if node.literal:
            segments = path.split("/", self._depth + 1)
            del segments[0]
            for segment in segments:
                node = node.literal.get(segment)
                if node is None:
                    break
                if node.prefix is not None:
                    found.append(node.prefix)
            found.reverse()
        return found

    def _walk(self, path: str) -> list[Bucket]:
        """Return the templates, then the prefixes over ``path``, longest first; literal before variable at each level."""
        assert self._root is not None
        level = [self._root]
        levels = [level]
        for segment in path.split("/", self._depth + 1)[1:]:
            below = []
            for node in level:
                literal = node.literal.get(segment)
                if literal is not None:
                    below.append(literal)
                if node.variable is not None and segment:
                    below.append(node.variable)
            level = below
            if not level:
                break
            levels.append(level)
        # After a break the path is longer than any template; otherwise the last level has taken all of it.
        found = [node.template for node in level if node.template is not None]
        for nodes in reversed(levels):
            found.extend(node.prefix for node in nodes if node.prefix is not None)
        return found
