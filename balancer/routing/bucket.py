"""The routes of one place in the index, all of the same host and path pattern, best first.

A few are tried one after another. Where there are many, they are told apart by a plain-string condition (``headers:
{X-Tenant: a}``) through a dictionary, level by level, so that 100,000 tenants cost one look-up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from balancer.model.decision import Decision
from balancer.model.facts import RequestFacts
from balancer.model.patterns import HostPattern, PathPattern
from balancer.routing.matchers import CompiledPath, FieldMatcher
from balancer.routing.matchers.fields import FieldKind, values_of
from balancer.routing.matchers.host import host_precedence
from balancer.routing.matchers.path import path_precedence
from balancer.routing.route import Route

__all__ = ["Bucket", "Entry"]

Precedence = tuple[int, tuple[int, int], tuple[int, int, tuple[bool, ...]], tuple[bool, int, int], int]

_FEW = 8
"""Up to this many entries a scan is faster than dictionaries."""


class Entry:
    """One route at one of its host and path patterns. ``rank`` is its place in the table's order of precedence."""

    __slots__ = ("checks", "decision", "host", "methods", "path", "rank", "route", "shares")

    def __init__(self, route: Route, host: HostPattern | None, path: CompiledPath | None) -> None:
        self.route = route
        self.host = host
        self.path = path
        self.rank = 0
        self.methods: frozenset[str] | None = route.conditions.method or None
        checks: list[Callable[[RequestFacts], bool]] = [part.matches for part in route.predicates]
        if path is not None and path.pattern.kind == "regex":
            checks.insert(0, _on_path(path))
        self.checks = tuple(checks)
        # What is decided again and again is made once: the decision where the match alone settles it, or one a pool.
        captures = path is not None and bool(path.names)
        self.decision: Decision | None = None
        self.shares: dict[str, Decision] | None = None
        if not captures and route.split is None:
            self.decision = route.decision(route.pool)
        elif not captures and route.split is not None:
            self.shares = {pool: route.decision(pool) for pool in route.split.weights}

    @property
    def takes_all(self) -> bool:
        """Whether there is no condition that a request could fail."""
        return self.host is None and self.path is None and self.methods is None and not self.checks

    @property
    def pattern(self) -> PathPattern | None:
        """The path pattern, or None for any path."""
        return None if self.path is None else self.path.pattern

    @property
    def precedence(self) -> Precedence:
        """The sort key that makes the table's order."""
        route = self.route
        return (
            -route.priority,
            host_precedence(self.host),
            path_precedence(self.pattern),
            route.specificity,
            route.order,
        )

    def __repr__(self) -> str:
        return f"<Entry {self.rank} {self.route.name} host={self.host or 'any'} path={self.pattern or 'any'}>"


class Bucket:
    """Entries in order of rank, and the quick way to the first whose conditions hold."""

    __slots__ = ("_groups", "_scanned", "entries", "rank")

    def __init__(
        self,
        entries: Sequence[Entry],
        used: frozenset[tuple[FieldKind, str]] = frozenset(),
    ) -> None:
        self.entries = tuple(entries)
        self.rank = self.entries[0].rank if self.entries else 0
        self._scanned = self.entries
        self._groups: tuple[tuple[FieldKind, str, dict[str, Bucket]], ...] = ()
        if len(self.entries) > _FEW:
            self._group(used)

    def _group(self, used: frozenset[tuple[FieldKind, str]]) -> None:
        scanned: list[Entry] = []
        grouped: dict[tuple[FieldKind, str], dict[str, list[Entry]]] = {}
        for entry in self.entries:
            for kind, name, value in _exact_conditions(entry):
                if (kind, name) not in used:
                    grouped.setdefault((kind, name), {}).setdefault(value, []).append(entry)
                    break
            else:
                scanned.append(entry)
        self._scanned = tuple(scanned)
        self._groups = tuple(
            (
                kind,
                name,
                {value: Bucket(entries, used | {(kind, name)}) for value, entries in by_value.items()},
            )
            for (kind, name), by_value in grouped.items()
        )

    def first(self, facts: RequestFacts) -> Entry | None:
        """Return the best entry whose method and predicates hold for ``facts``, or None."""
        method = facts.method
        best = None
        for entry in self._scanned:
            if entry.methods is not None and method not in entry.methods:
                continue
            for holds in entry.checks:
                if not holds(facts):
                    break
            else:
                best = entry
                break
        for kind, name, buckets in self._groups:
            for value in values_of(facts, kind, name):
                bucket = buckets.get(value)
                if bucket is not None and (best is None or bucket.rank < best.rank):
                    found = bucket.first(facts)
                    if found is not None and (best is None or found.rank < best.rank):
                        best = found
        return best

    def __repr__(self) -> str:
        return f"<Bucket of {len(self.entries)}>"


def _on_path(path: CompiledPath) -> Callable[[RequestFacts], bool]:
    matches = path.matches
    return lambda facts: matches(facts.path)


def _exact_conditions(entry: Entry) -> Iterable[tuple[FieldKind, str, str]]:
    for part in entry.route.predicates:
        if isinstance(part, FieldMatcher) and part.exact is not None:
            yield part.kind, part.name, part.exact
