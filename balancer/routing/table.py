"""All routes of one listener, compiled: host → path → predicates.

Precedence, most specific first (the Kubernetes Gateway API's, with templates and ``priority`` added):

1. the higher ``priority`` (default 0);
2. host: exact, then the wildcard with the most labels, then no host condition;
3. path: exact, then template, then the longest prefix, then regular expression, then no path condition;
4. a method condition; then more header conditions; then more query conditions;
5. the order in the file.

A route whose other conditions fail gives way to the next less specific one: first to other paths of the same host,
then to less specific hosts.

A route with several hosts or paths stands in the index once for each combination (an :class:`~.bucket.Entry`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from balancer.model.facts import RequestFacts
from balancer.model.patterns import HostPattern
from balancer.model.units import counted
from balancer.routing.bucket import Bucket, Entry
from balancer.routing.index import PathIndex
from balancer.routing.route import Route

__all__ = ["RouteTable"]

_LONGEST_HOST = 255


class RouteTable:
    """Routes ready to be asked. Immutable; ``routes`` is the order of the file, ``entries`` the order of precedence."""

    __slots__ = ("_default", "_exact", "_mixed", "_only", "_wildcards", "entries", "routes")

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self.entries = tuple(sorted(_entries(self.routes), key=lambda entry: entry.precedence))
        hosts: dict[HostPattern | None, list[Entry]] = {}
        for rank, entry in enumerate(self.entries):
            entry.rank = rank
            hosts.setdefault(entry.host, []).append(entry)
        self._mixed = len({route.priority for route in self.routes}) > 1
        # One route for everything, as a listener's ``pool: NAME`` makes it, needs no looking up.
        only = self.entries[0] if len(self.entries) == 1 else None
        self._only = only if only is not None and only.takes_all else None
        self._default: tuple[PathIndex, ...] = (PathIndex(hosts[None]),) if None in hosts else ()
        # Each host's chain: its own index, then those of the wildcards above it, longest first, then the default.
        self._wildcards: dict[str, tuple[PathIndex, ...]] = {}
        wildcards = [host for host in hosts if host is not None and host.wildcard]
        for host in sorted(wildcards, key=lambda host: host.name.count(".")):
            self._wildcards[host.name] = (
                PathIndex(hosts[host]),
                *self._above(host.name),
            )
        self._exact = {
            host.name: (PathIndex(found), *self._above(host.name))
            for host, found in hosts.items()
            if host is not None and not host.wildcard
        }

    def _above(self, host: str) -> tuple[PathIndex, ...]:
        """Return the chain of the longest wildcard over ``host``, or the default."""
        if self._wildcards and len(host) <= _LONGEST_HOST:
            at = host.find(".", 1)
            while at > 0:
                chain = self._wildcards.get(host[at + 1 :])
                if chain is not None:
                    return chain
                at = host.find(".", at + 1)
        return self._default

    def _chain(self, facts: RequestFacts) -> tuple[PathIndex, ...]:
        if not self._exact and not self._wildcards:
            return self._default
        host = facts.host
        chain = self._exact.get(host)
        return chain if chain is not None else self._above(host)

    def find(self, facts: RequestFacts) -> Entry | None:
        """Return the entry that takes this request, or None.

        Raises:
            BadTargetError: where target or host of the request cannot be read in one way only.
        """
        path = facts.path
        if self._only is not None:
            return self._only
        if self._mixed:
            return self._find_ranked(facts)
        for index in self._chain(facts):
            entry = index.first(facts, path)
            if entry is not None:
                return entry
        return None

    def _find_ranked(self, facts: RequestFacts) -> Entry | None:
        """Find among routes of different priorities: the best of all buckets, wherever they are."""
        best: Entry | None = None
        for bucket in self.buckets(facts):
            if best is None or bucket.rank < best.rank:
                entry = bucket.first(facts)
                if entry is not None and (best is None or entry.rank < best.rank):
                    best = entry
        return best

    def buckets(self, facts: RequestFacts) -> Iterator[Bucket]:
        """Yield the buckets whose host and path patterns match this request, most specific first."""
        path = facts.path
        for index in self._chain(facts):
            yield from index.buckets(path)

    def __len__(self) -> int:
        return len(self.routes)

    def __repr__(self) -> str:
        return f"<RouteTable of {counted(len(self.routes), 'route')}>"


def _entries(routes: tuple[Route, ...]) -> Iterator[Entry]:
    for route in routes:
        for host in dict.fromkeys(route.conditions.host) or (None,):
            for path in route.paths or (None,):
                yield Entry(route, host, path)
