"""Why a request goes where it goes: every route in order of precedence, with the first condition that fails.

Independent of the index on purpose: it looks at each route by itself, so that a test can hold the two against each
other. The first route here that matches is the one :func:`~.decide.decide` takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from balancer.model.facts import BodyNeededError, RequestFacts
from balancer.routing.bucket import Entry
from balancer.routing.matchers.host import host_matches
from balancer.routing.route import Route
from balancer.routing.table import RouteTable

__all__ = ["Candidate", "Stage", "candidates"]

Stage = Literal["host", "path", "method", "condition", ""]
_PROGRESS: tuple[Stage, ...] = ("host", "path", "method", "condition", "")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One route held against one request.

    ``stage`` is where it failed, ``""`` if it matches; ``failed`` the first condition that does not hold, in words;
    ``captures`` what its path captures if it matches.
    """

    route: Route
    stage: Stage
    failed: str = ""
    captures: Mapping[str, str] = field(default_factory=dict)

    @property
    def matched(self) -> bool:
        """Whether every condition holds."""
        return not self.stage


def candidates(table: RouteTable, facts: RequestFacts) -> list[Candidate]:
    """Return every route of ``table`` once, in order of precedence.

    A route with several hosts or paths stands where the first combination that matches stands, or else the one that
    came furthest.

    Raises:
        BadTargetError: as :func:`~.decide.decide`.
    """
    best: dict[Route, tuple[int, int, Candidate]] = {}
    for entry in table.entries:
        candidate = _held(entry, facts)
        key = (-_PROGRESS.index(candidate.stage), entry.rank)
        known = best.get(entry.route)
        if known is None or key < known[:2]:
            best[entry.route] = (*key, candidate)
    return [candidate for _, _, candidate in sorted(best.values(), key=lambda found: found[1])]


def _held(entry: Entry, facts: RequestFacts) -> Candidate:
    """Hold one entry against ``facts``: host, path, method, then the other conditions in order."""
    route = entry.route
    if entry.host is not None and not host_matches(entry.host, facts.host):
        return Candidate(route, "host", f"host is {entry.host}, not {facts.host or 'missing'}")
    if entry.path is not None and not entry.path.matches(facts.path):
        return Candidate(route, "path", f"path is {entry.path.pattern}, not {facts.path}")
    methods = route.conditions.method
    if methods and facts.method not in methods:
        return Candidate(route, "method", f"method is {' or '.join(sorted(methods))}, not {facts.method}")
    for part in route.predicates:
        try:
            holds = part.matches(facts)
        except BodyNeededError:  # of a route that nobody needed to know about
            return Candidate(route, "condition", f"{part.describe()} (not looked at)")
        if not holds:
            return Candidate(route, "condition", part.describe())
    return Candidate(route, "", captures=entry.path.captures(facts.path) if entry.path is not None else {})
