"""A canary: a new pool that gets more and more of a split's requests, as long as what comes of them is good.

::

             interval over, enough requests, nothing wrong          last step over
    running ─────────────────────────────────────────────> next step ────────────> done
       │ ▲
       │ └─ resume ── paused (no promotion; roll-back as ever)
       └─ too many errors, too slow, or an operator ──> aborted (the pool gets nothing)

It decides by what has been counted since its step began, and keeps no clock: times are passed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

__all__ = ["COMMANDS", "NOTHING", "STATES", "Canary", "CanaryPlan", "Tally"]

COMMANDS = ("pause", "resume", "promote", "finish", "abort", "restart")
"""What an operator may tell a canary."""
STATES = ("running", "paused", "done", "aborted")


@dataclass(frozen=True, slots=True)
class Tally:
    """What exchanges came to: how many, how many of them failed, and how many took at most so many seconds (by bound, with infinity)."""

    requests: int = 0
    errors: int = 0
    within: Mapping[float, int] = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        return self._with(other, 1)

    def __sub__(self, other: Tally) -> Tally:
        return self._with(other, -1)

    def _with(self, other: Tally, sign: int) -> Tally:
        bounds = sorted({*self.within, *other.within})
        within = {bound: self.within.get(bound, 0) + sign * other.within.get(bound, 0) for bound in bounds}
        return Tally(self.requests + sign * other.requests, self.errors + sign * other.errors, within)

    @property
    def error_ratio(self) -> float:
        """The failed ones, of all; 0.0 where there were none."""
        return self.errors / self.requests if self.requests else 0.0

    def quantile(self, share: float) -> float:
        """Return in how many seconds that ``share`` was done, 0.0 of none: between two bounds in proportion, as Prometheus does."""
        total = max(self.within.values(), default=0)
        wanted, below, lower = share * total, 0, 0.0
        for bound in sorted(self.within):
            count = self.within[bound]
            if total and count >= wanted:
                if bound == inf or count == below:
                    return lower
                return lower + (bound - lower) * (wanted - below) / (count - below)
            below, lower = count, bound
        return 0.0


NOTHING = Tally()


@dataclass(frozen=True, slots=True)
class CanaryPlan:
    """What is to happen.

    Args:
        pool: the new one.
        steps: percent that it gets, one after another.
        interval: seconds that a step lasts at least.
        minimum: requests of the step without which nothing is judged.
        error_ratio: more than that is too many, 0.0 to 1.0.
        latency: seconds by quantile (0.95); more is too slow.
        more_errors: how much the error ratio may be above that of the other pools.
        slower: how many times as slow as the other pools it may be, by quantile.
    """

    pool: str
    steps: tuple[float, ...] = (1.0, 5.0, 25.0, 50.0, 100.0)
    interval: float = 300.0
    minimum: int = 100
    error_ratio: float | None = None
    latency: tuple[tuple[float, float], ...] = ()
    more_errors: float | None = None
    slower: tuple[tuple[float, float], ...] = ()

    def weights(self, configured: Mapping[str, float], percent: float) -> dict[str, float]:
        """Return weights of a hundred in all: ``percent`` for the pool, the rest for the others, as the file divides it."""
        others = sum(weight for name, weight in configured.items() if name != self.pool)
        return {
            name: percent if name == self.pool else (100 - percent) * weight / others
            for name, weight in configured.items()
        }

    def wrong(self, new: Tally, stable: Tally) -> str:
        """Return what is wrong with ``new``, beside ``stable``, in words; ``""`` if nothing is, or too little is known."""
        if new.requests < self.minimum or not new.requests:
            return ""
        ratio = new.error_ratio
        if self.error_ratio is not None and ratio > self.error_ratio:
            return f"{100 * ratio:.4g} % errors, more than {100 * self.error_ratio:.4g} %"
        for share, limit in self.latency:
            took = new.quantile(share)
            if took > limit:
                return f"p{100 * share:g} of {_ms(took)}, more than {_ms(limit)}"
        if stable.requests < self.minimum or not stable.requests:
            return ""
        if self.more_errors is not None and ratio - stable.error_ratio > self.more_errors:
            there, most = 100 * stable.error_ratio, 100 * self.more_errors
            return f"{100 * ratio:.4g} % errors, more than {most:.4g} % above the {there:.4g} % of the others"
        for share, factor in self.slower:
            took, theirs = new.quantile(share), stable.quantile(share)
            if took > factor * theirs:
                return f"p{100 * share:g} of {_ms(took)}, more than {factor:g} times the {_ms(theirs)} of the others"
        return ""


class Canary:
    """One canary as it goes.

    Args:
        plan: what is to happen.
        now: seconds of any clock that does not go back.
    """

    def __init__(self, plan: CanaryPlan, now: float) -> None:
        self.plan = plan
        self.state = "running"
        self.step = 0
        self.reason = ""
        self.seen = NOTHING
        """Since the step began, at the last look."""
        self._since = now
        self._before: tuple[Tally, Tally] | None = None

    @property
    def percent(self) -> float:
        """What the pool is to get."""
        return 0.0 if self.state == "aborted" else self.plan.steps[self.step]

    @property
    def in_charge(self) -> bool:
        """Whether it may still change weights by itself."""
        return self.state in ("running", "paused")

    @property
    def note(self) -> str:
        """Why the weights are what they are."""
        if self.state == "aborted":
            return "canary rolled back"
        return f"canary{'' if self.state == 'running' else f' {self.state}'} at {self.percent:g} %"

    def look(self, now: float, new: Tally, stable: Tally) -> str:
        """Judge by all that has ever been counted of the pool, and of the others; return what happened, ``""`` if nothing did."""
        if not self.in_charge:
            return ""
        if self._before is None:
            self._before = (new, stable)
        self.seen = seen = new - self._before[0]
        wrong = self.plan.wrong(seen, stable - self._before[1])
        if wrong:
            return self._abort(f"{wrong}, of {seen.requests} requests at {self.percent:g} %")
        if self.state == "paused" or now - self._since < self.plan.interval or seen.requests < self.plan.minimum:
            return ""
        before = self.percent
        counted = f"{seen.requests} requests, {100 * seen.error_ratio:.3g} % errors"
        if self.step + 1 == len(self.plan.steps):
            self.state = "done"
            return f"done at {before:g} %: {counted}"
        self._begin(self.step + 1, now)
        self._before = (new, stable)
        return f"from {before:g} % to {self.percent:g} %: {counted}"

    def obey(self, command: str, now: float) -> str:
        """Do what an operator wants; return what happened.

        Raises:
            ValueError: for a command that is none, or that makes no sense now.
        """
        last = len(self.plan.steps) - 1
        if command == "pause" and self.state == "running":
            self.state = "paused"
            return f"paused at {self.percent:g} %"
        if command == "resume" and self.state == "paused":
            self._begin(self.step, now)
            return f"goes on at {self.percent:g} %"
        if command == "promote" and self.in_charge and self.step < last:
            self._begin(self.step + 1, now)
            return f"promoted to {self.percent:g} %"
        if command == "finish" and self.state != "done":
            self._begin(last, now)
            self.state = "done"
            return f"done at {self.percent:g} %"
        if command == "abort" and self.state != "aborted":
            return self._abort("by an operator")
        if command == "restart":
            self._begin(0, now)
            return f"begins anew at {self.percent:g} %"
        if command not in COMMANDS:
            raise ValueError(f"expected one of {', '.join(COMMANDS)}, got {command!r}")
        raise ValueError(f"there is nothing to {command}: the canary is {self.state} at {self.percent:g} %")

    def _begin(self, step: int, now: float) -> None:
        self.state, self.step, self.reason = "running", step, ""
        self._since, self._before, self.seen = now, None, NOTHING

    def _abort(self, reason: str) -> str:
        self.state, self.reason = "aborted", reason
        return f"rolled back: {reason}"

    def left(self, now: float) -> dict[str, Any]:
        """Return where it stands as plain values, for a process that takes over; what was counted is not that one's."""
        return {
            "state": self.state,
            "step": self.step,
            "reason": self.reason,
            "elapsed": now - self._since,
            "plan": repr(self.plan),
        }

    def go_on(self, left: Mapping[str, Any], now: float) -> None:
        """Stand where :meth:`left` of another has stood."""
        self.state, self.step, self.reason = left["state"], min(left["step"], len(self.plan.steps) - 1), left["reason"]
        self._since = now - left["elapsed"]

    def report(self, now: float) -> dict[str, Any]:
        """Return how it goes, for ``status``."""
        return {
            "pool": self.plan.pool,
            "state": self.state,
            "percent": self.percent,
            "step": self.step + 1,
            "steps": list(self.plan.steps),
            "since": now - self._since,
            "interval": self.plan.interval,
            "requests": self.seen.requests,
            "minimum": self.plan.minimum,
            "error_ratio": self.seen.error_ratio,
            "reason": self.reason,
        }

    def __repr__(self) -> str:
        return f"<Canary {self.plan.pool} {self.state} at {self.percent:g} %>"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.4g} ms"
