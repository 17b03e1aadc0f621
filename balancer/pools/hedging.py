"""When a second attempt is sent after one that takes its time, without waiting for that to fail ("The Tail at Scale", Dean and Barroso, 2013).

After a fixed time, or after the time in which most requests are answered: the quantile of what came last, so that few are sent twice
whatever the servers are like. A budget sees to it that not everything is, when all servers are slow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from balancer.pools.budget import Budget

__all__ = ["Hedging", "HedgingSettings"]

_KEPT = 512
_EACH = 32
_SHORTEST = 0.001


@dataclass(frozen=True, slots=True)
class HedgingSettings:
    """``after`` seconds without a first byte, or (0.0) after the ``quantile`` of the latest; ``budget`` is the most, as a share of the requests."""

    after: float = 0.0
    quantile: float = 0.95
    budget: float = 0.05

    def describe(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return {"after": self.after or f"p{self.quantile * 100:g}", "budget": self.budget}


class Hedging:
    """Knows how long to wait, and whether there is budget left.

    Args:
        settings: when, and how many.
        now: returns monotonic seconds.

    ``hedges`` counts those allowed, ``refused`` those that only the budget forbade.
    """

    __slots__ = ("_latest", "_next", "budget", "hedges", "refused", "settings", "wait")

    def __init__(self, settings: HedgingSettings, now: Callable[[], float]) -> None:
        self.settings = settings
        self.budget = Budget(now)
        self.hedges = 0
        self.refused = 0
        self.wait: float | None = settings.after or None
        """Seconds to wait for the first byte; None: not known yet."""
        self._latest: list[float] = []
        self._next = 0

    def note(self, seconds: float) -> None:
        """Learn that a first byte came after so long."""
        if self.settings.after:
            return
        latest = self._latest
        if len(latest) < _KEPT:
            latest.append(seconds)
        else:
            latest[self._next % _KEPT] = seconds
        self._next += 1
        if self._next % _EACH == 0:
            self.wait = max(_SHORTEST, sorted(latest)[int(len(latest) * self.settings.quantile)])

    def allow(self) -> bool:
        """Return whether there may be a second attempt, and if so take it from the budget."""
        if not self.budget.take(self.settings.budget, 0):
            self.refused += 1
            return False
        self.hedges += 1
        return True

    def __repr__(self) -> str:
        wait = "not known yet" if self.wait is None else f"{self.wait * 1000:.0f} ms"
        return f"<Hedging after {wait}: {self.hedges} hedges, {self.refused} over budget>"
