"""How much may be added to the traffic of the last ten seconds: retries, or hedges, as a share of the requests.

Two windows of ten seconds, the one before weighted with what is left of it, stand for the last ten seconds, both for what came and
for what was spent: so that over any longer time no more than the share is spent, but for the few that are always allowed.
"""

from __future__ import annotations

from collections.abc import Callable

from balancer.pools.limits import Limit

__all__ = ["Budget"]

_WINDOW = 10.0


class Budget:
    """Counts requests, and what is added to them.

    Args:
        now: returns monotonic seconds.

    ``limit`` is on those in flight, where there is one; whoever spends looks after it. ``requests`` are those of the present window; whoever begins one adds it there (it is done for every request).
    """

    __slots__ = ("_before", "_now", "_since", "_spent", "_spent_before", "limit", "requests")

    def __init__(self, now: Callable[[], float]) -> None:
        self.requests = 0
        self.limit: Limit | None = None
        self._now = now
        self._since = now()
        self._spent = 0
        self._before = 0.0
        self._spent_before = 0.0

    def take(self, share: float, minimum: int) -> bool:
        """Spend one, and return True, if there is one: ``minimum`` in ten seconds always, else ``share`` of the requests."""
        now = self._now()
        age = now - self._since
        if age >= _WINDOW:
            scale = _WINDOW / age
            self._before, self._spent_before = self.requests * scale, self._spent * scale
            self._since, self.requests, self._spent, age = now, 0, 0, 0.0
        left = 1.0 - age / _WINDOW
        if self._spent >= minimum and (
            self._spent_before * left + self._spent >= share * (self._before * left + self.requests)
        ):
            return False
        self._spent += 1
        return True

    def __repr__(self) -> str:
        return f"<Budget {self._spent} spent on {self.requests} requests>"
