"""Which routes can never be reached, because others before them take every request they could match.

Judged on patterns, not by trying requests, and only where it is certain: nothing is reported that a request could
still reach. A route is hidden where each of its host and path combinations is covered by routes of higher precedence
with wider or equal patterns and no condition beyond its own; several of those may share its methods among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, islice

from balancer.hooks.interfaces import IMatcher
from balancer.model.patterns import HostPattern, PathPattern
from balancer.routing.bucket import Entry
from balancer.routing.matchers import CompiledPath
from balancer.routing.route import Route
from balancer.routing.table import RouteTable

__all__ = ["Hidden", "unreachable"]

_MOST_CONDITIONS = 10
"""Of a route with more conditions than this, only equal and empty sets of conditions are compared."""

_MOST_REGEXES = 50
"""An exact path is held against this many regular expressions of its host, no more."""

Conditions = frozenset[IMatcher]


@dataclass(frozen=True, slots=True)
class Hidden:
    """A route that cannot be reached, and the routes that take its requests."""

    route: Route
    by: tuple[Route, ...]

    def __str__(self) -> str:
        names = " and ".join(repr(route.name) for route in self.by)
        return f"route {self.route.name!r} can never be reached: {names} takes every request it could match"


class _Place:
    """What has been seen at one host and path: for each set of conditions, who takes which methods."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[Conditions, list[Entry]] = {}

    def add(self, entry: Entry, conditions: Conditions) -> None:
        self._seen.setdefault(conditions, []).append(entry)

    def over(self, conditions: Conditions) -> Iterator[Entry]:
        """Yield the entries that ask for nothing beyond ``conditions`` and the method."""
        if len(self._seen) <= 2 ** len(conditions):
            for seen, entries in self._seen.items():
                if seen <= conditions:
                    yield from entries
            return
        sizes = range(len(conditions) + 1) if len(conditions) <= _MOST_CONDITIONS else (0, len(conditions))
        for size in sizes:
            for part in combinations(conditions, size):
                yield from self._seen.get(frozenset(part), ())


class _Node:
    """A step in the tree of templates and prefixes; a variable's branch is None."""

    __slots__ = ("branches", "closed", "open")

    def __init__(self) -> None:
        self.branches: dict[str | None, _Node] = {}
        self.open = _Place()
        self.closed = _Place()


class _Paths:
    """The places of one host pattern, by path pattern, and which of them are wider than another."""

    __slots__ = ("_any", "_exact", "_regexes", "_root")

    def __init__(self) -> None:
        self._exact: dict[str, _Place] = {}
        self._root = _Node()
        self._regexes: dict[str, tuple[CompiledPath, _Place]] = {}
        self._any = _Place()

    def place(self, path: CompiledPath | None) -> _Place:
        """Return the place of this very pattern."""
        if path is None:
            return self._any
        pattern = path.pattern
        if pattern.kind == "exact":
            return self._exact.setdefault(pattern.text, _Place())
        if pattern.kind == "regex":
            return self._regexes.setdefault(pattern.text, (path, _Place()))[1]
        node = self._root
        for segment in _shape(pattern):
            node = node.branches.setdefault(segment, _Node())
        return node.open if pattern.open_ended else node.closed

    def over(self, path: CompiledPath | None) -> Iterator[_Place]:
        """Yield the places whose pattern matches at least every path that ``path`` does."""
        yield self._any
        yield self._root.open
        if path is None:
            return
        pattern = path.pattern
        if pattern.kind == "regex":
            same = self._regexes.get(pattern.text)
            if same is not None:
                yield same[1]
            return
        if pattern.kind == "exact":
            exact = self._exact.get(pattern.text)
            if exact is not None:
                yield exact
            for regex, place in islice(self._regexes.values(), _MOST_REGEXES):
                if regex.matches(pattern.text):
                    yield place
        level = [self._root]
        for segment in _shape(pattern):
            branches = (segment,) if segment in (None, "") else (segment, None)
            level = [node.branches[branch] for node in level for branch in branches if branch in node.branches]
            for node in level:
                yield node.open
        if not pattern.open_ended:
            for node in level:
                yield node.closed


def _shape(pattern: PathPattern) -> tuple[str | None, ...]:
    """Return the segments with None for each variable."""
    if pattern.kind != "template":
        return pattern.segments
    return tuple(None if part.startswith("{") else part for part in pattern.segments)


def unreachable(table: RouteTable) -> list[Hidden]:
    """Return the routes of ``table`` that no request can reach, in the order of the file."""
    seen: dict[HostPattern | None, _Paths] = {}
    hidden: dict[Route, dict[Route, None]] = {}
    reachable: set[Route] = set()
    for entry in table.entries:
        conditions: Conditions = frozenset(entry.route.predicates)
        takers = _takers(entry, conditions, seen)
        if takers:
            hidden.setdefault(entry.route, {}).update(dict.fromkeys(takers))
        else:
            reachable.add(entry.route)
        seen.setdefault(entry.host, _Paths()).place(entry.path).add(entry, conditions)
    return [Hidden(route, tuple(hidden[route])) for route in table.routes if route in hidden and route not in reachable]


def _takers(entry: Entry, conditions: Conditions, seen: dict[HostPattern | None, _Paths]) -> list[Route]:
    """Return the routes that together take every request of ``entry``; empty if some request is left to it."""
    wanted = entry.methods
    taken: set[str] = set()
    takers: list[Route] = []
    for host in _hosts_over(entry.host):
        paths = seen.get(host)
        for place in paths.over(entry.path) if paths is not None else ():
            for other in place.over(conditions):
                if other.methods is None:
                    return [other.route]
                if wanted is not None and not other.methods.isdisjoint(wanted - taken):
                    taken |= other.methods
                    takers.append(other.route)
                    if wanted <= taken:
                        return takers
    return []


def _hosts_over(host: HostPattern | None) -> Iterator[HostPattern | None]:
    """Yield the host patterns that match at least every host that ``host`` does."""
    yield None
    if host is None:
        return
    yield host
    name = host.name
    while "." in name:
        name = name.partition(".")[2]
        yield HostPattern(name, wildcard=True)
