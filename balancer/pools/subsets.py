"""Subsets: requests that ask for servers with certain labels get those, and no others.

What is asked for is a value for each label of ``by``, or none: the route says it, else the request (a header, cookie, … that stands for the
label), else the default. A server belongs to a subset if it has all the values that are asked for. Each subset that there is has
the pool's algorithm to itself. Where none of a subset can be used, ``fallback`` decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

from balancer.hooks.interfaces import IObservingAlgorithm
from balancer.model.facts import RequestFacts, SessionFacts
from balancer.model.keys import Key
from balancer.pools.sections import Sections
from balancer.pools.server import Server

__all__ = ["Subset", "SubsetSettings", "Subsets"]

_Wanted = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class SubsetSettings:
    """Labels; where a request says which value it wants; which where it does not; what if nobody of a subset can be used.

    ``fallback``: ``any`` server, those of the ``default`` values, or ``none``.
    """

    by: tuple[str, ...]
    sources: Mapping[str, Key] = field(default_factory=dict)
    default: Mapping[str, str] = field(default_factory=dict)
    fallback: Literal["any", "default", "none"] = "any"


class Subset:
    """Servers that have some labels in common: ``others`` are those of the pool that do not belong to it."""

    __slots__ = ("_prepared", "algorithm", "members", "name", "others")

    def __init__(self, name: str, members: Sequence[Server], others: Sequence[Server], algorithm: Any) -> None:
        self.name = name
        self.members = tuple(members)
        self.others = tuple(others)
        self.algorithm = algorithm
        self._prepared: list[tuple[Server, int]] | None = None

    @property
    def usable(self) -> bool:
        """Whether any of it takes new clients."""
        return any(server.open for server in self.members)

    def prepare(self) -> None:
        """Let the algorithm have the servers that there are now."""
        backups = any(server.open and server.backup for server in self.members)
        stable = self.algorithm.stable
        group = [
            server
            for server in self.members
            if server.weight > 0 and (server.backup is backups if stable else server.open)
        ]
        prepared = [(server, server.weight) for server in group]
        if prepared != self._prepared:
            self._prepared = prepared
            self.algorithm.prepare(tuple(group))
        if isinstance(self.algorithm, Sections):
            self.algorithm.weigh(self.members)

    def __repr__(self) -> str:
        return f"<Subset {self.name} of {len(self.members)}>"


class Subsets:
    """The subsets of a pool.

    Args:
        settings: what makes them.
        another: makes one more algorithm like that of the pool.
    """

    def __init__(self, settings: SubsetSettings, another: Callable[[], Any]) -> None:
        self.settings = settings
        self.fallen_back = 0
        self._another = another
        self._subsets: dict[_Wanted, Subset] = {}
        self._default = tuple(settings.default.get(label) for label in settings.by)

    def bind(self, servers: Sequence[Server]) -> None:
        """Make the subsets of ``servers``, those that may be asked for."""
        self._subsets = {}
        for server in servers:
            values = [(None, server.labels.get(label)) for label in self.settings.by]
            for wanted in product(*values):
                if wanted not in self._subsets and any(value is not None for value in wanted):
                    members = [each for each in servers if self._has(each, wanted)]
                    others = [each for each in servers if each not in members]
                    self._subsets[wanted] = Subset(self._name(wanted), members, others, self._another())

    def _has(self, server: Server, wanted: _Wanted) -> bool:
        pairs = zip(self.settings.by, wanted, strict=True)
        return all(value is None or server.labels.get(label) == value for label, value in pairs)

    def _name(self, wanted: _Wanted) -> str:
        pairs = zip(self.settings.by, wanted, strict=True)
        return " ".join(f"{label}={value}" for label, value in pairs if value is not None)

    def prepare(self) -> None:
        """Look anew which servers are open."""
        for subset in self._subsets.values():
            subset.prepare()

    def _wanted(self, facts: RequestFacts | SessionFacts) -> _Wanted:
        settings = self.settings
        by_route: Mapping[str, str] = getattr(facts, "subset", None) or {}
        found: list[str | None] = []
        for label, default in zip(settings.by, self._default, strict=True):
            value = by_route.get(label)
            if value is None and (source := settings.sources.get(label)) is not None:
                key = source.of(facts)
                value = key.decode("utf-8", "replace") if key else None
            found.append(default if value is None else value)
        return tuple(found)

    def find(self, facts: RequestFacts | SessionFacts) -> tuple[Subset | None, str]:
        """Return the subset for ``facts`` (None: every server will do), and why it is not the one asked for (or empty)."""
        wanted = self._wanted(facts)
        if not any(value is not None for value in wanted):
            return None, ""
        found = self._subsets.get(wanted)
        if found is not None and found.usable:
            return found, ""
        name = self._name(wanted)
        why = f"no server with {name} can be used"
        fallback = self.settings.fallback
        if fallback == "any":
            return None, why
        default = self._subsets.get(self._default) if fallback == "default" else None
        if default is not None and default.usable:
            return default, why
        return Subset(name, (), (), None), why

    def asked(self, facts: RequestFacts | SessionFacts) -> str:
        """Return what ``facts`` asks for, such as ``version=v2``; empty: for nothing."""
        return self._name(self._wanted(facts))

    def finished(self, server: Server, seconds: float, ok: bool) -> None:
        """Let algorithms that learn know of an outcome."""
        for subset in self._subsets.values():
            if server in subset.members and IObservingAlgorithm.providedBy(subset.algorithm):
                subset.algorithm.finished(server, seconds, ok)

    def __repr__(self) -> str:
        return f"<Subsets {', '.join(subset.name for subset in self._subsets.values())}>"
