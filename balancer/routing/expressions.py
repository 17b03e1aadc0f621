"""The regular-expression routes of one host, sorted by the literal beginning of their expressions.

``^/api/v1/orders/[0-9]+`` can only match below ``/api/v1/orders``, so it is tried for paths there and nowhere else.
Expressions without such a beginning are tried for every path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from balancer.model.facts import RequestFacts
from balancer.routing.bucket import Bucket, Entry

__all__ = ["ExpressionIndex", "literal_segments"]

_SPECIAL = frozenset(".[](){}*+?|^$\\")


class _Node:
    __slots__ = ("below", "bucket", "entries")

    def __init__(self) -> None:
        self.below: dict[str, _Node] = {}
        self.entries: list[Entry] = []
        self.bucket: Bucket | None = None


class ExpressionIndex:
    """Entries with regular expressions, in order of rank, by the segments that their paths must begin with."""

    __slots__ = ("_depth", "_root")

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._root = _Node()
        self._depth = 0
        nodes = []
        for entry in entries:
            node = self._root
            segments = literal_segments(entry.pattern.text if entry.pattern is not None else "")
            for segment in segments:
                node = node.below.setdefault(segment, _Node())
            self._depth = max(self._depth, len(segments))
            node.entries.append(entry)
            nodes.append(node)
        for node in nodes:
            if node.bucket is None:
                node.bucket = Bucket(node.entries)

    def buckets(self, path: str) -> Iterator[Bucket]:
        """Yield the buckets with expressions that may match ``path``."""
        node: _Node | None = self._root
        if self._root.bucket is not None:
            yield self._root.bucket
        if not self._root.below:
            return
        for segment in path.split("/", self._depth + 1)[1:]:
            node = node.below.get(segment) if node is not None else None
            if node is None:
                return
            if node.bucket is not None:
                yield node.bucket

    def first(self, facts: RequestFacts, path: str) -> Entry | None:
        """Return the best entry that matches, or None."""
        best: Entry | None = None
        for bucket in self.buckets(path):
            if best is None or bucket.rank < best.rank:
                entry = bucket.first(facts)
                if entry is not None and (best is None or entry.rank < best.rank):
                    best = entry
        return best


def literal_segments(expression: str) -> tuple[str, ...]:
    """Return the whole segments that every path matched by an RE2 ``expression`` begins with; empty if unsure."""
    if not expression.startswith("^/") or "\\Q" in expression or _alternates(expression):
        return ()
    literal: list[str] = []
    at = 1
    while at < len(expression):
        char = expression[at]
        step = 1
        if char == "\\" and at + 1 < len(expression) and not expression[at + 1].isalnum():
            char = expression[at + 1]
            step = 2
        elif char in _SPECIAL:
            break
        after = expression[at + step : at + step + 1]
        if after and after in "*?{":
            break
        literal.append(char)
        if after == "+":
            break
        at += step
    return tuple("".join(literal).split("/")[1:-1])


def _alternates(expression: str) -> bool:
    """Return whether an alternative stands outside all groups, or whether that is hard to tell."""
    depth = 0
    at = 0
    while at < len(expression):
        char = expression[at]
        if char == "\\":
            at += 1
        elif char == "[":
            # A class: a bracket right behind its opening is literal, and so is everything else up to the closing one.
            at += 2 if expression[at + 1 : at + 2] == "^" else 1
            at = expression.find("]", at + 1)
            if at < 0 or "[:" in expression or "\\]" in expression:
                return "|" in expression
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        elif char == "|" and depth == 0:
            return True
        at += 1
    return False
