"""What calls into one plug-in's object cost and how often they failed; and whether it is switched off for it.

::

    closed ── trip_after failures in a row ──> tripped ── COOL_DOWN seconds ──> one call tries ──┐
      ▲                                           ▲                                │             │
      └───────────────── it went well ────────────┼────────────────────────────────┘             │
                                                  └───────────────── it failed ──────────────────┘

A call that takes longer than :data:`BUDGET` counts as failed, though what it returned is used: the reactor stood still
for everybody meanwhile. A reload begins a new account.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.reflect import safe_str

__all__ = ["BUDGET", "COOL_DOWN", "Account", "Call", "in_words"]

BUDGET = 0.05
"""Seconds that one call may keep the reactor from everything else."""

COOL_DOWN = 30.0
"""Seconds until an object that was switched off is tried again."""

_LONGEST = 300
_MOST_KINDS = 20

_log = Logger()


def in_words(error: BaseException | Failure) -> str:
    """Return ``error`` on one line of bounded length, even if it cannot be put into words itself."""
    value = error.value if isinstance(error, Failure) else error
    words = f"{type(value).__name__}: {' '.join(safe_str(value).split())}".removesuffix(": ")
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}…"


class Account:
    """The account of what one factory of one package made: ``calls``, ``errors``, ``overruns``, ``seconds``, ``tripped``.

    Args:
        package, kind, name: whose it is: distribution, kind of factory, name of the factory.
        trip_after: failures in a row that switch the object off.
        now: returns seconds, never going back.

    ``errors`` is of calls that raised or returned what they must not, ``overruns`` of those past their budget,
    ``skipped`` of those not made while it was switched off; ``seconds`` is what the reactor stood still for.
    """

    _log = _log
    _off = "plug-in {account}: failed {count} times in a row and is switched off; tried again every {seconds:g} s"

    __slots__ = (
        "_in_row",
        "_kinds",
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
        self._kinds: dict[str, int] = {}
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

    def call(self) -> Call:
        """Return a context for one call: counts and times it, keeps what it raises, KeyboardInterrupt apart."""
        self.calls += 1
        return Call(self)

    def more(self) -> Call:
        """Return a context for what still belongs to a call that was counted: the next item, a late answer."""
        return Call(self)

    def spent(self, began: float, *, well: bool) -> None:
        """Note that the reactor stood still from ``began`` until now; ``well``: for a call that is over and went well."""
        took = self._now() - began
        self.seconds += took
        if took > BUDGET:
            self.overruns += 1
            self._count("overrun", f"took {took * 1000:.0f} ms, {BUDGET * 1000:.0f} ms are allowed")
        elif well:
            self._in_row = 0
            if self.tripped:
                self.tripped = False
                _log.info("plug-in {account}: works again", account=self)

    def failed(self, error: BaseException | Failure) -> None:
        """Note that a call failed: what it raised, or what was wrong with what it returned."""
        self.errors += 1
        failure = error if isinstance(error, Failure) else Failure(error)
        self._count(failure.type.__name__ if failure.type else "", in_words(failure), failure)

    def _count(self, kind: str, words: str, failure: Failure | None = None) -> None:
        """Count a failure; log the first of its kind, then the 10th, the 100th…, none while switched off."""
        self._in_row += 1
        self.last_error = words
        count = self._kinds[kind] = self._kinds.get(kind, 0) + 1
        if count == 10 ** (len(str(count)) - 1) and not self.tripped and len(self._kinds) <= _MOST_KINDS:
            text = "plug-in {account}: {words} (time {count}; the next is logged at ten times that)"
            if failure is None:
                _log.error(text, account=self, words=words, count=count)
            else:
                _log.failure(text, failure, account=self, words=words, count=count)
        if self._in_row >= self._trip_after and not self.tripped:
            self.tripped = True
            self._retry_at = self._now() + COOL_DOWN
            _log.error(
                self._off,
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


class Call:
    """One call under way, as a context; ``failed`` says afterwards whether it raised."""

    __slots__ = ("_account", "_began", "_over", "failed")

    def __init__(self, account: Account) -> None:
        self._account = account
        self._began = 0.0
        self._over = True
        self.failed = False

    def suspend(self) -> None:
        """Note that the call is not over at the end of the context: its answer comes later."""
        self._over = False

    def __enter__(self) -> Call:
        self._began = self._account._now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        account = self._account
        if error is None:
            account.spent(self._began, well=self._over)
            return False
        if isinstance(error, KeyboardInterrupt):
            return False
        account.seconds += account._now() - self._began
        account.failed(error)
        self.failed = True
        return True
