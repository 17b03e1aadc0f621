"""What calls into one plug-in's object cost and how often they failed; and whether it is switched off for it.

::

    closed ── trip_after failures in a row ──> tripped ── COOL_DOWN seconds ──> one call tries ──┐
      ▲                                           ▲                                │             │
      └───────────────── it went well ────────────┼────────────────────────────────┘             │
                                                  └───────────────── it failed ──────────────────┘

A call that takes longer than :data:`BUDGET` counts as failed, though what it returned is used: the reactor stood still
for everybody meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

__all__ = ["BUDGET", "COOL_DOWN", "Account"]

BUDGET = 0.05
"""Seconds that one call may keep the reactor from everything else."""

COOL_DOWN = 30.0
"""Seconds until an object that was switched off is tried again."""

_log = Logger()


class Account:
    """The account of one object of one package: ``calls``, ``errors``, ``overruns``, ``seconds``, ``tripped``.

    Args:
        package, kind, name: whose it is: distribution, kind of factory, name of the factory.
        trip_after: failures in a row that switch the object off.
        now: returns seconds, never going back.
    """

    __slots__ = (
        "_in_row",
        "_now",
        "_retry_at",
        "_trip_after",
        "calls",
        "errors",
        "kind",
        "last_error",
        "name",
        "overruns",
        "package",
        "seconds",
        "skipped",
        "tripped",
    )

    def __init__(
        self, package: str, kind: str, name: str, trip_after: int = 10, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.package = package
        self.kind = kind
        self.name = name
        self.calls = 0
        self.errors = 0
        self.overruns = 0
        self.skipped = 0
        self.seconds = 0.0
        self.tripped = False
        self.last_error = ""
        self._trip_after = trip_after
        self._now = now
        self._in_row = 0
        self._retry_at = 0.0

    def admits(self) -> bool:
        """Whether a call may be made now; counts it as skipped if not."""
        if self.tripped:
            now = self._now()
            if now < self._retry_at:
                self.skipped += 1
                return False
            self._retry_at = now + COOL_DOWN
        return True

    def begin(self) -> float:
        """Note that a call begins; return the time to give to :meth:`end` or :meth:`failed`."""
        self.calls += 1
        return self._now()

    def end(self, began: float) -> None:
        """Note that a call went well, if it kept to its budget."""
        took = self._now() - began
        self.seconds += took
        if took > BUDGET:
            self.overruns += 1
            self._count(f"took {took * 1000:.0f} ms, {BUDGET * 1000:.0f} ms are allowed")
            return
        self._in_row = 0
        if self.tripped:
            self.tripped = False
            _log.info("plug-in {account}: works again", account=self)

    def failed(self, began: float | None, error: BaseException | str) -> None:
        """Note that a call failed: what it raised, or what was wrong with what it returned."""
        if began is not None:
            self.seconds += self._now() - began
        self.errors += 1
        words = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        self._count(words, None if isinstance(error, str) else Failure(error))

    def _count(self, words: str, failure: Failure | None = None) -> None:
        self._in_row += 1
        first = words != self.last_error
        self.last_error = words
        if first and not self.tripped:
            if failure is None:
                _log.error("plug-in {account}: {words}", account=self, words=words)
            else:
                _log.failure("plug-in {account}: {words}", failure, account=self, words=words)
        if self._in_row >= self._trip_after and not self.tripped:
            self.tripped = True
            self._retry_at = self._now() + COOL_DOWN
            _log.error(
                "plug-in {account}: failed {count} times in a row and is switched off; tried again every {seconds} s",
                account=self,
                count=self._in_row,
                seconds=COOL_DOWN,
            )

    def report(self) -> dict[str, Any]:
        """Return the account as plain values."""
        return {
            "package": self.package,
            "kind": self.kind,
            "name": self.name,
            "calls": self.calls,
            "errors": self.errors,
            "overruns": self.overruns,
            "skipped": self.skipped,
            "seconds": round(self.seconds, 6),
            "tripped": self.tripped,
            "last_error": self.last_error,
        }

    def __str__(self) -> str:
        return f"{self.package} ({self.kind} {self.name})"

    def __repr__(self) -> str:
        state = "tripped" if self.tripped else "closed"
        return f"<Account {self} calls={self.calls} errors={self.errors} {state}>"
