"""Priorities and zones: servers in sections, each with an algorithm of its own, and how much goes to which.

::

    priority 0   ├─ in our zone   ──┐  as much as its healthy servers can take: their share of the section,
                 └─ elsewhere     <─┘  times ``overprovisioning``; the rest goes to the next
    priority 1   ├─ in our zone
                 └─ elsewhere
    …

So a section that loses a few servers keeps all its traffic (1.4 times 72 % is 100 %), and spills what it cannot take little by little,
as Envoy does. To the pool this is one algorithm. Which section a request goes to is drawn, or decided by its key where the algorithm
hashes, so that a key stays; the other sections follow in their order, for when nobody there has room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from zope.interface import alsoProvides, implementer

from balancer.hooks.interfaces import Choice, IAlgorithm, IObservingAlgorithm, IServer
from balancer.pools.algorithms.hashing import hash64

__all__ = ["SectionSettings", "Sections", "loads"]

_WHOLE = float(1 << 64)
_Place = tuple[int, bool]  # the priority, and whether it is elsewhere


@dataclass(frozen=True, slots=True)
class SectionSettings:
    """``overprovisioning``: how much more than its part a healthy server can take. ``zone``: ours, empty where zones do not matter."""

    overprovisioning: float = 1.4
    zone: str = ""


def loads(healthy: Sequence[int], whole: Sequence[int], overprovisioning: float) -> list[float]:
    """Return the share of the traffic that each of several sections takes, the first as much as it can; sums to 1.0, or 0.0.

    Args:
        healthy: how many servers of each are well.
        whole: how many servers each has.
        overprovisioning: by what the share of its healthy servers is multiplied.
    """
    can = [min(1.0, overprovisioning * well / size) if size else 0.0 for well, size in zip(healthy, whole, strict=True)]
    total = min(1.0, sum(can))
    found, left = [], total
    for each in can:
        taken = min(each, left)
        left -= taken
        found.append(taken / total if total else 0.0)
    return found


@implementer(IAlgorithm)
class Sections:
    """Several algorithms as one.

    Args:
        settings: which sections there are.
        algorithm: that of the first section.
        another: makes one like it.
    """

    def __init__(self, settings: SectionSettings, algorithm: Any, another: Callable[[], Any]) -> None:
        self.settings = settings
        self.key = algorithm.key
        self.stable = algorithm.stable
        self._spare = [algorithm]
        self._another = another
        self._algorithms: dict[_Place, Any] = {}
        self._loads: dict[_Place, float] = {}
        self._order: list[_Place] = []
        self._where: dict[IServer, _Place] = {}
        if IObservingAlgorithm.providedBy(algorithm):
            alsoProvides(self, IObservingAlgorithm)

    def place(self, server: Any) -> _Place:
        """Return the section that ``server`` belongs to."""
        return server.priority, bool(self.settings.zone) and server.zone != self.settings.zone

    def prepare(self, servers: Sequence[IServer]) -> None:
        """Take the servers and their weights, each to its section."""
        found: dict[_Place, list[IServer]] = {}
        self._where = {}
        for server in servers:
            place = self._where[server] = self.place(server)
            found.setdefault(place, []).append(server)
        self._order = sorted(found)
        for place in {*found, *self._algorithms}:
            if place not in self._algorithms:
                self._algorithms[place] = self._spare.pop() if self._spare else self._another()
            self._algorithms[place].prepare(found.get(place, ()))

    def weigh(self, servers: Iterable[Any]) -> None:
        """Compute how much goes where; to be called when ``servers``, all of the pool, know which of them are open."""
        candidates = [server for server in servers if server.full_weight > 0]
        backups = any(server.open and server.backup for server in candidates)
        well: dict[_Place, int] = {}
        whole: dict[_Place, int] = {}
        for server in candidates:
            if server.backup is backups:
                place = self.place(server)
                whole[place] = whole.get(place, 0) + 1
                well[place] = well.get(place, 0) + server.open
        levels = sorted({level for level, _ in whole})
        by_level = loads(
            [well.get((level, False), 0) + well.get((level, True), 0) for level in levels],
            [whole.get((level, False), 0) + whole.get((level, True), 0) for level in levels],
            self.settings.overprovisioning,
        )
        self._loads = {}
        for level, load in zip(levels, by_level, strict=True):
            near, far = (level, False), (level, True)
            here = min(1.0, self.settings.overprovisioning * well.get(near, 0) / whole[near]) if near in whole else 0.0
            if not well.get(far, 0):
                here = 1.0
            self._loads[near], self._loads[far] = load * here, load * (1.0 - here)

    def candidates(self, choice: Choice) -> Iterator[IServer]:
        """Yield the servers of the section that is drawn, then those of the others."""
        first = self._draw(choice)
        if first is None:
            return
        yield from self._algorithms[first].candidates(choice)
        for place in self._order:
            if place != first:
                yield from self._algorithms[place].candidates(choice)

    def _draw(self, choice: Choice) -> _Place | None:
        found, at = None, -1.0
        for place in self._order:
            load = self._loads.get(place, 0.0)
            if load >= 1.0:
                return place
            if load > 0.0:
                if at < 0.0:
                    at = hash64(choice.key + b" section") / _WHOLE if self.stable and choice.key else choice.draw()
                found = place
                at -= load
                if at < 0.0:
                    return place
        return found or (self._order[0] if self._order else None)  # rounding; nobody is open

    def finished(self, server: IServer, seconds: float, ok: bool) -> None:
        """Learn from an outcome; only where the algorithm does."""
        place = self._where.get(server)
        if place is not None:
            self._algorithms[place].finished(server, seconds, ok)

    def describe(self, server: Any) -> str:
        """Return the section of ``server`` and its part of the traffic, for ``explain``."""
        level, elsewhere = place = self.place(server)
        zone = (
            ""
            if not self.settings.zone
            else f" in another zone ({server.zone or 'none'})"
            if elsewhere
            else " in our zone"
        )
        return f"priority {level}{zone}, which gets {self._loads.get(place, 0.0):.0%}"

    def parts(self) -> Iterator[tuple[str, float]]:
        """Yield the sections and their parts of the traffic."""
        for (level, elsewhere), load in sorted(self._loads.items()):
            yield f"{level}{' elsewhere' if elsewhere else ''}", load

    def __repr__(self) -> str:
        return f"<Sections {', '.join(f'{name}: {load:.0%}' for name, load in self.parts())}>"
