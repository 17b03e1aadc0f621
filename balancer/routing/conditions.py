"""The ``match`` of a route as plain values, and what routing makes of it.

Host and path go to the index, the method set is looked at first, everything else becomes a tuple of predicates. The
conditions of an ``all`` are simply joined to those beside it; ``any`` and ``not`` stay predicates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from balancer.hooks.interfaces import IMatcher
from balancer.hooks.settings import StringMatch
from balancer.model.patterns import HostPattern, Network, PathPattern
from balancer.routing.matchers import (
    AllMatcher,
    AnyMatcher,
    ClientMatcher,
    FieldMatcher,
    HostMatcher,
    MethodMatcher,
    NotMatcher,
    PathMatcher,
    SchemeMatcher,
)

__all__ = ["Conditions"]


@dataclass(frozen=True, slots=True)
class Conditions:
    """Every condition of one ``match``; empty means: no such condition.

    ``host``, ``path``, ``method`` and ``client`` hold where one of the values does; each of ``headers``, ``query``
    and ``cookies`` must hold; ``others`` are built plug-in matchers.
    """

    host: tuple[HostPattern, ...] = ()
    path: tuple[PathPattern, ...] = ()
    method: frozenset[str] = frozenset()
    headers: Mapping[str, StringMatch] = field(default_factory=dict)
    query: Mapping[str, StringMatch] = field(default_factory=dict)
    cookies: Mapping[str, StringMatch] = field(default_factory=dict)
    client: tuple[Network, ...] = ()
    scheme: str = ""
    all: tuple[Conditions, ...] = ()
    any: tuple[Conditions, ...] = ()
    not_: Conditions | None = None
    others: tuple[IMatcher, ...] = ()

    def predicates(self) -> tuple[IMatcher, ...]:
        """Return what must hold besides host, path and method; cheap conditions first."""
        return tuple(self._predicates())

    def _predicates(self) -> Iterator[IMatcher]:
        if self.scheme:
            yield SchemeMatcher(self.scheme)
        if self.client:
            yield ClientMatcher(self.client)
        for name, match in self.headers.items():
            yield FieldMatcher("header", name, match)
        for name, match in self.query.items():
            yield FieldMatcher("query", name, match)
        for name, match in self.cookies.items():
            yield FieldMatcher("cookie", name, match)
        for part in self.all:
            yield from part._every()
        if self.any:
            yield AnyMatcher(tuple(part.matcher() for part in self.any))
        if self.not_ is not None:
            yield NotMatcher(self.not_.matcher())
        yield from self.others

    def _every(self) -> Iterator[IMatcher]:
        if self.host:
            yield HostMatcher(self.host)
        if self.path:
            yield PathMatcher(self.path)
        if self.method:
            yield MethodMatcher(self.method)
        yield from self._predicates()

    def matcher(self) -> IMatcher:
        """Return all conditions, host and path among them, as one matcher."""
        parts = tuple(self._every())
        return parts[0] if len(parts) == 1 else AllMatcher(parts)
