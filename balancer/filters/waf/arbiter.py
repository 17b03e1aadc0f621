"""What all checks together mean for one exchange: a pure object, which knows neither threads nor time.

::

    outcomes (phase, check, number) ──> sorted by phase, then by the checks' order ──> Ruling
                                        whatever the order in which they came

Walking through them in that order: findings add their scores to ``inbound`` (phases of the request) or ``outbound``; the first demand of a
Block, Drop or Redirect is the one that counts; an Allow covers what stands behind it, in its scope. A check that failed and is declared
``block`` demands a Block. Checks in mode ``detect``, or whose breaker is open, are written down and change nothing. Then the
sums are compared with the thresholds, once the request's, or the response's, phases are over; after each with ``early``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from balancer.model.inspection.outcome import Outcome
from balancer.model.inspection.terms import PHASES, Fallback, Phase
from balancer.model.verdict import Allow, Block, Demand, Drop, Finding, Redirect

__all__ = ["Arbiter", "CheckRules", "Failure", "Mode", "Noted", "Policy", "Ruling"]

Mode = Literal["block", "detect", "off"]
Does = Literal["pass", "block", "drop", "redirect"]

_SCOPES = {
    "phase": (),
    "request": ("request_head", "request_body"),
    "response": ("response_head", "response_body"),
    "exchange": PHASES,
}


@dataclass(frozen=True, slots=True)
class CheckRules:
    """One check, as the arbiter knows it: its name, mode, and what its failures mean."""

    name: str
    mode: Mode = "block"
    on_error: Fallback = "allow"
    on_timeout: Fallback = "allow"


@dataclass(frozen=True, slots=True)
class Policy:
    """What is configured: the checks in order, the mode of all, thresholds of scores, the status of refusals.

    ``early``: the scores count after each phase, and not only once the request (or response) has been looked at as a whole.
    """

    checks: Sequence[CheckRules]
    mode: Mode = "block"
    inbound: int = 5
    outbound: int = 4
    status: int = 403
    early: bool = False


@dataclass(frozen=True, slots=True)
class Noted:
    """A finding as it stands in the log: whose, in which phase, and whether its score counts."""

    check: str
    phase: Phase
    finding: Finding
    counts: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """A check that failed: how, in which phase, what was wrong, and what that means."""

    check: str
    phase: Phase
    kind: str
    words: str
    means: Fallback


@dataclass(frozen=True, slots=True)
class Ruling:
    """The decision on what is known so far.

    ``does`` is what becomes of the exchange, ``would`` what would in mode ``block``; ``status`` and ``to`` belong to that. ``because`` says
    what tipped it: ``score 7 of 5``, ``sqli demands it``. ``inbound`` and ``outbound`` are the sums of what counts.
    """

    does: Does
    would: Does
    status: int
    to: str
    because: str
    inbound: int
    outbound: int
    findings: tuple[Noted, ...]
    failures: tuple[Failure, ...]

    @property
    def action(self) -> str:
        """The word of the log: ``blocked``, ``dropped``, ``redirected``, ``detected`` or ``passed``."""
        if self.does == "pass":
            return "passed" if self.would == "pass" else "detected"
        return {"block": "blocked", "drop": "dropped", "redirect": "redirected"}[self.does]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to say of it."""
        return not self.findings and not self.failures and self.would == "pass"


class Arbiter:
    """Takes the outcomes of one exchange, in any order, and decides.

    Args:
        policy: what is configured.
    """

    __slots__ = ("_outcomes", "_policy")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._outcomes: list[tuple[int, int, int, Outcome]] = []

    def take(self, at: int, phase: Phase, outcome: Outcome) -> None:
        """Take what the check number ``at`` found in ``phase``; several of one phase (pieces of a body) count in the order they come."""
        self._outcomes.append((PHASES.index(phase), at, len(self._outcomes), outcome))

    def decide(self, phase: Phase, *, over: bool = True) -> Ruling:
        """Return the decision after ``phase``.

        Args:
            phase: the last one whose outcomes are to count; those of later ones are written down only.
            over: whether no other phase of the request (or the response) follows.
        """
        policy = self._policy
        walk = _Walk(policy, PHASES.index(phase), compare=over or policy.early)
        for number, at, _, outcome in sorted(self._outcomes, key=_place):
            walk.take(PHASES[number], number, policy.checks[at], outcome)
        return walk.ruling(phase)


def _place(each: tuple[int, int, int, Outcome]) -> tuple[int, int, int]:
    return each[:3]


class _Walk:
    """One walk through the outcomes, in order."""

    def __init__(self, policy: Policy, last: int, *, compare: bool) -> None:
        self._policy = policy
        self._last = last
        self._compare = compare
        self._inbound = 0
        self._outbound = 0
        self._allowed: list[tuple[int, Allow]] = []
        self._demand: Demand | None = None
        self._because = ""
        self._findings: list[Noted] = []
        self._failures: list[Failure] = []

    def take(self, phase: Phase, number: int, check: CheckRules, outcome: Outcome) -> None:
        counts = check.mode == "block" and not outcome.beside and not self._covers(phase, number, check.name)
        in_time = number <= self._last
        if outcome.failed:
            means = check.on_error if outcome.failed == "error" else check.on_timeout
            if means != "allow":
                self._failures.append(Failure(check.name, phase, outcome.failed, outcome.words, means))
            if means == "block" and counts and in_time:
                self._demanded(Block(), f"{check.name} failed ({outcome.failed}) and is to block then")
        verdict = outcome.verdict
        if verdict is None:
            return
        for finding in verdict.findings:
            self._findings.append(Noted(check.name, phase, finding, counts))
            if counts and number < 2:
                self._inbound += finding.score
            elif counts and number < 4:
                self._outbound += finding.score
        demand = verdict.demand
        if demand is None or not counts:
            return
        if isinstance(demand, Allow):
            self._allowed.append((number, demand))
        elif in_time:
            self._demanded(demand, f"{check.name} demands it")

    def _demanded(self, demand: Demand, because: str) -> None:
        if self._demand is None:
            self._demand, self._because = demand, because

    def _covers(self, phase: Phase, number: int, name: str) -> bool:
        """Whether something before lets the check ``name`` do as it likes in ``phase``."""
        for given, allow in self._allowed:
            if allow.checks and name not in allow.checks:
                continue
            if number == given if allow.scope == "phase" else phase in _SCOPES[allow.scope]:
                return True
        return False

    def ruling(self, phase: Phase) -> Ruling:
        policy, demand = self._policy, self._demand
        if demand is None and self._compare:
            if self._inbound >= policy.inbound:
                demand, self._because = Block(), f"score {self._inbound} of {policy.inbound}"
            elif PHASES.index(phase) >= 2 and self._outbound >= policy.outbound:
                demand, self._because = Block(), f"score {self._outbound} of {policy.outbound} in the response"
        would: Does = "pass"
        status, to = 0, ""
        if isinstance(demand, Drop):
            would, status = "drop", policy.status
        elif isinstance(demand, Redirect):
            would, status, to = "redirect", demand.status, demand.to
        elif isinstance(demand, Block):
            would, status = "block", demand.status or policy.status
        return Ruling(
            would if policy.mode == "block" and phase != "log" else "pass",  # then it is too late
            would,
            status,
            to,
            self._because,
            self._inbound,
            self._outbound,
            tuple(self._findings),
            tuple(self._failures),
        )
