"""The guard of a WAF check: calls it in its lane, no longer than it may take, and takes only a sound answer from it.

==========  ======================================================================================================
lane        how it is called
==========  ======================================================================================================
``inline``  at once; an answer that took longer than the budget is an overrun
``thread``  in the WAF's own pool of threads; after the budget it is given up, and its thread is left to end by itself
``remote``  at once, for a Deferred that is cancelled after the budget
==========  ======================================================================================================

Everything it raises is caught but KeyboardInterrupt. What a failure means for the exchange, its declaration says; here it is an
:class:`~balancer.model.inspection.outcome.Outcome` that says what was wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.python.reflect import safe_repr

from balancer.hooks.check_accounting import CheckAccount
from balancer.hooks.interfaces import ITap
from balancer.hooks.soundness import sound_ids, sound_verdict
from balancer.hooks.waiting import patiently
from balancer.model.inspection.outcome import NOTHING, Outcome
from balancer.model.inspection.subject import Subject
from balancer.model.inspection.terms import CheckTerms, Phase

__all__ = ["GuardedCheck", "NoThreadError", "Threads"]


class NoThreadError(Exception):
    """All threads are busy, and as many calls wait for them as may."""


class Threads(Protocol):
    """Where checks of the lane ``thread`` run."""

    def run(self, call: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Return a Deferred of what ``call(*arguments)`` returns in a thread.

        Raises:
            NoThreadError: there is no room.
        """


class GuardedCheck:
    """A check as the ``waf`` filter calls it.

    Args:
        inner: the check.
        account: where its calls are counted.
        deny: whether a failure blocks where the check itself would allow.
        clock: returns what bounds Deferreds (``IReactorTime``), None where nothing runs.
        threads: returns the pool of threads, None where there is none: then checks are called in place.

    Raises:
        TypeError, ValueError: the check does not say what it must.
    """

    def __init__(
        self,
        inner: Any,
        account: CheckAccount,
        deny: bool,
        clock: Callable[[], Any],
        threads: Callable[[], Threads | None],
    ) -> None:
        if not isinstance(inner.terms, CheckTerms):
            raise TypeError(f"terms must be CheckTerms, not {type(inner.terms).__name__}")
        self.name = account.name
        self.terms: CheckTerms = inner.terms
        self.on_error = "block" if deny and self.terms.on_error == "allow" else self.terms.on_error
        self.on_timeout = "block" if deny and self.terms.on_timeout == "allow" else self.terms.on_timeout
        self._inner = inner
        self._account = account
        self._inspect = inner.inspect
        self._piece = None
        if "tap" in (self.terms.request_body, self.terms.response_body):
            if not ITap.providedBy(inner) or not callable(getattr(inner, "piece", None)):
                raise TypeError("a check that taps provides ITap and has piece()")
            self._piece = inner.piece
        self._clock = clock
        self._threads = threads

    @property
    def is_tripped(self) -> bool:
        """Whether its breaker is open: it only detects."""
        return self._account.tripped

    def look(
        self, subject: Subject, phase: Phase, seconds: float, *, in_place: bool = False
    ) -> Outcome | Deferred[Outcome]:
        """Return what the check finds in ``phase`` within ``seconds``, or a Deferred of that.

        ``in_place``: in this thread whatever its lane, and without a limit: for ``balancer explain``.
        """
        account = self._account
        tripped = account.tripped
        if tripped and not in_place:
            if not account.takes_beside():
                return NOTHING
            account.busy = True
        account.calls += 1
        threads = self._threads()
        lane = self.terms.lane
        if tripped and lane == "inline":
            lane = "thread"  # it has shown that the reactor cannot wait for it
        if lane == "inline" or in_place or threads is None:
            return self._at_once(self._inspect, (subject, phase), phase)
        if lane == "thread":
            limit = max(1.0, self.terms.seconds) if tripped else min(seconds, self.terms.seconds)
            return self._in_thread(threads, subject, phase, limit)
        return self._remote(subject, phase, min(seconds, self.terms.seconds))

    def piece(self, subject: Subject, phase: Phase, data: bytes) -> Outcome:
        """Return what the check finds in a piece of a body."""
        account = self._account
        if account.tripped and not account.takes_beside():
            return NOTHING
        account.calls += 1
        found = self._at_once(self._piece, (subject, phase, data), phase)
        assert isinstance(found, Outcome)
        return found

    def _at_once(self, call: Any, arguments: tuple[Any, ...], phase: Phase) -> Outcome | Deferred[Outcome]:
        account = self._account
        began = account.now()
        try:
            found = call(*arguments)
            if isinstance(found, Deferred) and self.terms.lane == "remote":
                return self._waiting(found, phase, began, self.terms.seconds)
            return self._outcome(found, phase, account.now() - began)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            account.seconds += account.now() - began
            return self._broke(error, phase)

    def _in_thread(
        self, threads: Threads, subject: Subject, phase: Phase, seconds: float
    ) -> Deferred[Outcome] | Outcome:
        account = self._account
        begun: list[float] = []
        try:
            running = threads.run(self._timed, subject, phase, begun)
        except NoThreadError:
            return self._late("no thread is free", phase, blame=False)
        return self._waiting(running, phase, account.now(), seconds, begun)

    def _timed(self, subject: Subject, phase: Phase, begun: list[float]) -> tuple[Any, float]:
        """Call the check, in a thread; return what it returned, and how long it took. When that began is put into ``begun``,
        in which there is something already if it has been given up meanwhile."""
        if begun:
            return None, 0.0
        now = self._account.now
        began = now()
        begun.append(began)
        try:
            found = self._inspect(subject, phase)
        except BaseException as error:  # SystemExit would end the thread
            raise _RaisedError(error) from error
        return found, now() - began

    def _remote(self, subject: Subject, phase: Phase, seconds: float) -> Outcome | Deferred[Outcome]:
        account = self._account
        began = account.now()
        try:
            found = self._inspect(subject, phase)
            if not isinstance(found, Deferred):
                return self._outcome(found, phase, account.now() - began)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return self._broke(error, phase)
        return self._waiting(found, phase, began, seconds)

    def _waiting(
        self, waiting: Deferred[Any], phase: Phase, began: float, seconds: float, begun: list[float] | None = None
    ) -> Deferred[Outcome]:
        limited = patiently(waiting, self._clock(), seconds)
        arguments = (phase, began, seconds, begun)
        return limited.addCallbacks(self._came, self._gave_up, (phase, began), errbackArgs=arguments)

    def _came(self, found: Any, phase: Phase, began: float) -> Outcome:
        if self.terms.lane == "remote":
            took = self._account.now() - began
        else:
            found, took = found
        try:
            return self._outcome(found, phase, took)
        except Exception as error:
            return self._broke(error, phase)

    def _gave_up(
        self, failure: Failure, phase: Phase, began: float, seconds: float, begun: list[float] | None
    ) -> Outcome | Failure:
        account = self._account
        if failure.check(CancelledError):
            account.busy = False
            if begun is not None:
                begun.append(began)
            return failure
        now = account.now()
        if begun is not None:  # in a thread, where it may have had to wait for one
            began = begun[0] if begun else now
            begun.append(now)
        account.seconds += now - began
        if failure.check(TimeoutError):
            blame = begun is None or now - began >= min(seconds, self.terms.seconds) / 2
            return self._late(f"no answer within {seconds * 1000:.0f} ms", phase, blame=blame)
        raised = failure.value
        return self._broke(raised.args[0] if isinstance(raised, _RaisedError) else failure, phase)

    def _outcome(self, found: Any, phase: Phase, seconds: float) -> Outcome:
        if isinstance(found, Deferred):
            found.addErrback(lambda _: None)
            found.cancel()
            raise TypeError(f"a check of the lane {self.terms.lane} answers at once, and not with a Deferred")
        verdict = sound_ids(sound_verdict(found), self.terms.ids)
        tripped = self._account.tripped
        self._account.answered(seconds, self.terms.seconds, hit=verdict is not None, where=phase)
        self._account.busy = False
        return Outcome(verdict, beside=tripped) if verdict is not None else NOTHING

    def _broke(self, error: BaseException | Failure, phase: Phase) -> Outcome:
        tripped = self._account.tripped
        self._account.busy = False
        return Outcome(None, "error", self._account.broke(error, phase), tripped)

    def _late(self, words: str, phase: Phase, *, blame: bool) -> Outcome:
        """Note a time-out; ``blame``: it is the check's own, and not that of too many calls before it."""
        tripped = self._account.tripped
        self._account.busy = False
        self._account.timed_out(words, phase, blame=blame)
        return Outcome(None, "timeout", words, tripped)

    def __repr__(self) -> str:
        return f"<guarded {safe_repr(self._inner)}>"


class _RaisedError(Exception):
    """Carries out of a thread what a check raised there, whatever that was."""
