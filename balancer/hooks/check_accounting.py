"""The account of a WAF check, and its breaker: one that fails or is too slow goes on in detect, where it holds nothing up.

::

    closed ── trip_after failures, overruns or time-outs in a row ──> detect ── COOL_DOWN seconds ──> one call that goes well ──> closed
                                                                        │
                                                                        └─ called beside the exchange, one at a time; the rest is skipped

An overrun is an answer that came, but later than the check's budget allows; it is used. A time-out is none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.python.failure import Failure

from balancer.hooks.accounting import Account, in_words

__all__ = ["CheckAccount"]


class CheckAccount(Account):
    """An :class:`~.accounting.Account` that knows of findings and time-outs besides.

    ``hits`` is of calls that found something, ``timeouts`` of those that took too long or found no thread; ``tripped`` whether the check is
    in detect. ``seconds`` is what calls took, wherever.
    """

    __slots__ = ("busy", "hits", "timeouts")

    _off = (
        "plug-in {account}: failed {count} times in a row and only detects from now on, one call at a time; "
        "goes back to what is configured when a call goes well after {seconds:g} s"
    )

    def __init__(
        self, package: str, kind: str, name: str, trip_after: int = 10, now: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(package, kind, name, trip_after, now)
        self.hits = 0
        self.timeouts = 0
        self.busy = False

    def now(self) -> float:
        """Return the time that is counted with."""
        return self._now()

    def takes_beside(self) -> bool:
        """Whether a check in detect may be called now; whoever is told so sets ``busy`` until that is over. Counts it as skipped if not."""
        if self.busy:
            self.skipped += 1
            return False
        return True

    def answered(self, seconds: float, budget: float, *, hit: bool, where: str) -> None:
        """Note an answer after ``seconds``, of ``budget`` allowed; ``where`` is the phase."""
        self.seconds += seconds
        self.hits += hit
        if seconds > budget:
            self.overruns += 1
            self._count("overrun", f"{where}: took {seconds * 1000:.1f} ms, {budget * 1000:g} ms are allowed")
        else:
            self._in_row = 0
            if self.tripped and self._now() >= self._retry_at:
                self.tripped = False
                self._log.info("plug-in {account}: works again", account=self)

    def broke(self, error: BaseException | Failure, where: str) -> str:
        """Note what a call raised, or what was wrong with its answer; return it in words."""
        self.errors += 1
        failure = error if isinstance(error, Failure) else Failure(error)
        words = in_words(failure)
        self._count(failure.type.__name__ if failure.type else "", f"{where}: {words}", failure)
        return words

    def timed_out(self, words: str, where: str, *, blame: bool = True) -> None:
        """Note that there was no answer in time, or no thread for it; only what the check is to blame for opens the breaker."""
        self.timeouts += 1
        if blame:
            self._count("timeout", f"{where}: {words}")
        else:
            self.last_error = f"{where}: {words}, as the threads were busy"

    def report(self) -> dict[str, Any]:
        """Return the account as plain values."""
        return {**super().report(), "hits": self.hits, "timeouts": self.timeouts}

    def __repr__(self) -> str:
        return f"<CheckAccount {self} calls={self.calls} errors={self.errors} {'detect' if self.tripped else 'closed'}>"
