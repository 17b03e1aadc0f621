"""The decision of a circuit breaker, without I/O: outcomes and the time in, states out.

::

                    too many failed or were slow
      CLOSED ────────────────────────────────────────> OPEN ──(time is up)──> HALF_OPEN
        ▲    window, at least ``min_requests``           ▲                      │    │
        │                                                └── trials failed ─────┘    │
        └───────────────── trials went well ─────────────────────────────────────────┘

It stays open for twice as long each time, up to ``max_open``; a quiet window takes one doubling back. Half-open, it
gives out so many trials; if they are not decided within the time that it was open for, it gives out as many again.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Circuit", "CircuitState", "TripSettings"]

_BUCKETS = 10


@dataclass(frozen=True, slots=True)
class TripSettings:
    """When a breaker trips.

    ``of`` says whether each server has one or the pool. ``error_ratio`` (None: never) of those that end within ``window`` seconds
    fail, or ``slow_ratio`` have their first byte later than ``slow`` seconds (None: never), and there are ``min_requests`` at least:
    then it is open for ``open`` seconds, at most ``max_open``, and half-open for ``probes`` trials. ``errors`` is what fails: any
    status from 500, or gateway errors only.
    """

    of: Literal["server", "pool"] = "server"
    errors: Literal["5xx", "gateway"] = "5xx"
    error_ratio: float | None = 0.5
    slow: float | None = None
    slow_ratio: float = 0.5
    window: float = 10.0
    min_requests: int = 20
    open: float = 5.0
    max_open: float = 300.0
    probes: int = 3


class CircuitState(enum.Enum):
    """Whether a breaker lets pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Circuit:
    """One breaker. Times are monotonic seconds.

    ``state``, ``reason`` why it is so, ``since`` when (None: ever), ``until`` when that ends, ``trials`` how many it still gives out while
    half-open, ``trips`` how often it has opened.
    """

    __slots__ = (
        "_closed_at",
        "_counts",
        "_failed",
        "_opens",
        "_well",
        "reason",
        "settings",
        "since",
        "state",
        "trials",
        "trips",
        "until",
    )

    def __init__(self, settings: TripSettings) -> None:
        self.settings = settings
        self.state = CircuitState.CLOSED
        self.reason = ""
        self.until = 0.0
        self.since: float | None = None
        self.trials = self.trips = 0
        self._opens = 0
        self._closed_at = 0.0
        self._counts: deque[list[float]] = deque()  # when it began, how many ended, failed, were slow
        self._well = self._failed = 0  # trials

    @property
    def lets_pass(self) -> bool:
        """Whether one more may begin."""
        return self.state is CircuitState.CLOSED or (self.state is CircuitState.HALF_OPEN and self.trials > 0)

    def began(self) -> bool:
        """Note that something began; return whether that was the last trial."""
        if self.state is not CircuitState.HALF_OPEN or not self.trials:
            return False
        self.trials -= 1
        return not self.trials

    def ended(self, now: float, failed: bool, seconds: float) -> bool:
        """Note how something ended; return whether the state, or whether it lets pass, changed.

        Args:
            now: the time.
            failed: whether it failed.
            seconds: to first byte; negative if there was none, which unless it failed says nothing.
        """
        settings = self.settings
        slow = settings.slow is not None and seconds > settings.slow
        if self.state is CircuitState.CLOSED:
            if failed or seconds >= 0.0:
                return self._count(now, failed, slow)
            return False
        if self.state is CircuitState.OPEN:
            return False  # it began before; its outcome is no news
        if not failed and seconds < 0.0:  # the client went away: another may try
            self.trials += 1
            return self.trials == 1
        return self._judge(now, failed or slow)

    def _count(self, now: float, failed: bool, slow: bool) -> bool:
        settings, counts = self.settings, self._counts
        while counts and counts[0][0] <= now - settings.window:
            counts.popleft()
        if not counts or counts[-1][0] <= now - settings.window / _BUCKETS:
            counts.append([now, 0, 0, 0])
        bucket = counts[-1]
        bucket[1] += 1
        bucket[2] += failed
        bucket[3] += slow
        if not failed and not slow:
            return False
        total = sum(each[1] for each in counts)
        if total < settings.min_requests:
            return False
        failures = sum(each[2] for each in counts)
        if settings.error_ratio is not None and failures >= settings.error_ratio * total and failures:
            self._open(now, f"{failures:g} of {total:g} failed")
            return True
        late = sum(each[3] for each in counts)
        if settings.slow is not None and late >= settings.slow_ratio * total and late:
            self._open(now, f"{late:g} of {total:g} took longer than {settings.slow:g} s")
            return True
        return False

    def _judge(self, now: float, bad: bool) -> bool:
        """Take the outcome of a trial."""
        settings = self.settings
        if bad:
            self._failed += 1
        else:
            self._well += 1
        ratio = settings.error_ratio if settings.error_ratio is not None else settings.slow_ratio
        if self._failed and self._failed >= ratio * settings.probes:
            self._open(now, f"{self._failed} of {self._failed + self._well} trials failed")
        elif self._well + self._failed >= settings.probes:
            self._close(now)
        else:
            return False
        return True

    def _open(self, now: float, reason: str) -> None:
        settings = self.settings
        quiet = int((now - self._closed_at) / settings.window) if self.state is CircuitState.CLOSED else 0
        self._opens = max(0, self._opens - quiet) + 1
        seconds = min(settings.open * 2.0 ** min(self._opens - 1, 30), max(settings.max_open, settings.open))
        self.state, self.reason, self.until, self.trials = CircuitState.OPEN, reason, now + seconds, 0
        self.trips += 1
        self.since = now
        self._counts.clear()

    def _close(self, now: float) -> None:
        self.state, self.reason, self.until, self.trials = CircuitState.CLOSED, "", 0.0, 0
        self._closed_at = self.since = now
        self._counts.clear()

    def time_is_up(self, now: float) -> None:
        """Go on from open to half-open, or give out new trials; to be called at ``until``."""
        span = self.settings.open * 2.0 ** min(max(self._opens, 1) - 1, 30)
        if self.state is not CircuitState.HALF_OPEN:
            self.since = now
        self.state, self.trials = CircuitState.HALF_OPEN, self.settings.probes
        self.until = now + min(span, max(self.settings.max_open, self.settings.open))
        self._well = self._failed = 0

    def restore(self, now: float) -> bool:
        """Close it, as one that has never opened, and forget what has been counted; return whether it was not closed."""
        was_closed = self.state is CircuitState.CLOSED
        self._opens = 0
        if was_closed:
            self._counts.clear()
        else:
            self._close(now)
        return not was_closed

    def report(self, now: float) -> dict[str, Any]:
        """Return what there is to know as plain values: spans in seconds, ``ended``, ``failed`` and ``slow`` of the window."""
        counts = [each for each in self._counts if each[0] > now - self.settings.window]
        return {
            "state": self.state.value,
            "reason": self.reason,
            "since": None if self.since is None else now - self.since,
            "left": None if self.state is CircuitState.CLOSED else max(0.0, self.until - now),
            "trials": self.trials,
            "trips": self.trips,
            **{key: int(sum(each[at] for each in counts)) for at, key in enumerate(("ended", "failed", "slow"), 1)},
        }

    def describe(self, now: float) -> str:
        """Return the state in words."""
        if self.state is CircuitState.OPEN:
            return f"the breaker is open for another {max(0.0, self.until - now):.1f} s: {self.reason}"
        if self.state is CircuitState.HALF_OPEN:
            return f"the breaker is half-open, {self.trials} of {self.settings.probes} trials left: {self.reason}"
        return "the breaker is closed"

    def __repr__(self) -> str:
        return f"<Circuit {self.state.value}{': ' + self.reason if self.reason else ''}>"
