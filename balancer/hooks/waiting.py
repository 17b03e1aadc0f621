"""Waiting for a plug-in's Deferred: no longer than agreed, and whatever it does, somebody gets an answer once.

::

    plug-in's Deferred ──> fires ──────────────────────────────────> its result, or its failure
                      ──> seconds pass ──> cancelled, forgotten ──> TimeoutError
    ours is cancelled ──> cancelled, forgotten ────────────────────> CancelledError

What a plug-in's Deferred does after it was given up, even in its canceller, is nobody's concern. One that cancels itself
fails like any other: only CancelledError from here means that the exchange is over.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from balancer.errors import PluginError

__all__ = ["PATIENCE", "patiently"]

PATIENCE = 5.0
"""Seconds that a filter or check may take over its Deferred."""

_log = Logger()


def patiently(waiting: Deferred[Any], clock: IReactorTime | None, seconds: float = PATIENCE) -> Deferred[Any]:
    """Return a Deferred of what becomes of ``waiting`` within ``seconds``.

    Args:
        waiting: a plug-in's.
        clock: None where nothing runs, and so nothing is limited.
        seconds: how long it may take.
    """
    return _Wait(waiting, clock, seconds).answer


class _Wait:
    def __init__(self, waiting: Deferred[Any], clock: IReactorTime | None, seconds: float) -> None:
        self.answer: Deferred[Any] = Deferred(self._cancelled)
        self._waiting: Deferred[Any] | None = waiting
        self._limit: IDelayedCall | None = None
        waiting.addCallbacks(self._came, self._failed)
        if self._waiting is not None and clock is not None:
            self._seconds = seconds
            self._limit = clock.callLater(seconds, self._too_late)

    def _came(self, found: Any) -> None:
        if self._done():
            self.answer.callback(found)

    def _failed(self, failure: Failure) -> None:
        if self._done():
            if failure.check(CancelledError):
                failure = Failure(PluginError("its Deferred was cancelled, and not by the balancer"))
            self.answer.errback(failure)

    def _too_late(self) -> None:
        self._limit = None
        self._give_up()
        self.answer.errback(Failure(TimeoutError(f"no answer within {self._seconds:g} s")))

    def _cancelled(self, _: Deferred[Any]) -> None:
        self._give_up()

    def _give_up(self) -> None:
        waiting = self._waiting
        self._done()
        if waiting is not None:
            try:
                waiting.cancel()
            except Exception:
                _log.failure("a plug-in's Deferred could not be cancelled")

    def _done(self) -> bool:
        """Note that the wait is over; return whether it was not yet."""
        was_waiting, self._waiting = self._waiting is not None, None
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        return was_waiting
