"""One exchange under inspection: calls the checks phase by phase, and has the arbiter decide.

::

    inline checks, in order ──> those of other lanes, all at a time ──┬── that may block: waited for ──> the arbiter's Ruling
                                                                      └── others, *beside*: the exchange goes on; the log waits for them

Between calls the time of the exchange is looked at: once its budget is spent, checks are not called any more, which means to
each what its ``on_timeout`` says. A check that timed out is not called again for this exchange: its thread may still be at work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList

from balancer.errors import HTTP_REQUEST_DENIED, ExchangeError, Reason, Side
from balancer.filters.waf.arbiter import Arbiter, Policy, Ruling
from balancer.filters.waf.report import as_note, merged
from balancer.hooks.check_guard import GuardedCheck
from balancer.model.exchange import Exchange, Reply
from balancer.model.inspection.outcome import Outcome
from balancer.model.inspection.subject import Subject
from balancer.model.inspection.terms import Phase

__all__ = ["SUBJECT", "Inspection"]

SUBJECT = "waf_subject"
"""The note of an exchange under which all its WAF filters share what was parsed."""

_OVER = Outcome(None, "timeout", "the time of the exchange was over")

Waiting = list[tuple[int, Deferred[Outcome]]]


class Inspection:
    """What one filter finds in one exchange.

    Args:
        checks: all checks of the filter.
        policy: its settings, as the arbiter knows them.
        budget: seconds for all of them.
        exchange: what is looked at.
        now: returns seconds, never going back.
    """

    __slots__ = (
        "_arbiter",
        "_budget",
        "_checks",
        "_given_up",
        "_in_place",
        "_news",
        "_now",
        "_policy",
        "_tails",
        "enforced",
        "exchange",
        "pending",
        "spent",
        "subject",
    )

    def __init__(
        self,
        checks: Sequence[GuardedCheck],
        policy: Policy,
        budget: float,
        exchange: Exchange,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checks = checks
        self._policy = policy
        self._budget = budget
        self._now = now
        self._arbiter = Arbiter(policy)
        self._given_up: set[int] = set()
        self._tails: dict[int, Deferred[None]] = {}
        self._in_place = exchange.wait is None
        self._news = False
        self.exchange = exchange
        self.pending: Waiting = []
        self.enforced: Ruling | None = None
        self.spent = 0.0
        subject = exchange.notes.get(SUBJECT)
        if subject is None:
            subject = exchange.notes[SUBJECT] = Subject(exchange.facts)
        subject.route = exchange.route
        self.subject: Subject = subject

    def may_block(self, at: int) -> bool:
        """Whether the check number ``at`` can refuse the exchange, so that this has to wait for it."""
        policy = self._policy
        return policy.mode == "block" and policy.checks[at].mode == "block" and not self._checks[at].is_tripped

    def look(self, phase: Phase, which: Sequence[int], *, hold: bool = True) -> Waiting:
        """Call the checks ``which`` for ``phase``; return those that are to be waited for.

        ``which`` is in the order in which they are called. Without ``hold`` nothing is waited for.
        """
        began = self._now()
        waiting: Waiting = []
        for at in which:
            if at in self._given_up:
                continue
            left = self._budget - self.spent - (self._now() - began)
            if left <= 0:
                self._take(at, phase, _OVER)
                continue
            holds = hold and self.may_block(at)
            if not holds and at in self._tails:
                self._beside(at, phase, left)
                continue
            found = self._checks[at].look(self.subject, phase, left, in_place=self._in_place)
            if isinstance(found, Outcome):
                self._take(at, phase, found)
            elif holds:
                waiting.append((at, found))
            else:
                self._beside(at, phase, left, found)
        self.spent += self._now() - began
        return waiting

    async def wait(self, waiting: Waiting, phase: Phase) -> None:
        """Wait for calls that are under way."""
        began = self._now()
        left = list(waiting)
        try:
            while left:
                at, call = left[0]
                self._take(at, phase, await call)
                del left[0]
        finally:
            for _, call in left:
                call.addErrback(lambda _: None)
                call.cancel()
            self.spent += self._now() - began

    def piece(self, phase: Phase, which: Sequence[int], data: bytes) -> None:
        """Show the checks ``which`` a piece of a body."""
        began = self._now()
        for at in which:
            if self._budget > self.spent + self._now() - began:
                self._take(at, phase, self._checks[at].piece(self.subject, phase, data))
        self.spent += self._now() - began

    def _take(self, at: int, phase: Phase, outcome: Outcome) -> None:
        if outcome.verdict is not None or outcome.failed:
            self._arbiter.take(at, phase, outcome)
            self._news = True
            if outcome.failed == "timeout":
                self._given_up.add(at)

    def _beside(self, at: int, phase: Phase, seconds: float, call: Deferred[Outcome] | None = None) -> None:
        """Let a call go on while the exchange does, after the one of the same check that may still be under way."""
        self._tails[at] = Deferred.fromCoroutine(self._follow(self._tails.get(at), at, phase, seconds, call))

    async def _follow(
        self, before: Deferred[None] | None, at: int, phase: Phase, seconds: float, call: Deferred[Outcome] | None
    ) -> None:
        try:
            if before is not None:
                await before
            if at in self._given_up:
                return
            found = call or self._checks[at].look(self.subject, phase, seconds, in_place=self._in_place)
            self._take(at, phase, found if isinstance(found, Outcome) else await found)
        except CancelledError:
            return

    # Decisions.

    def rule(self, phase: Phase, *, over: bool) -> Ruling | None:
        """Return the decision after ``phase``, if it is not to go on; ``over``: nothing of the request (or the response) is still to come."""
        if not self._news:
            return None
        ruling = self._arbiter.decide(phase, over=over)
        if ruling.does == "pass":
            return None
        self.enforced = ruling
        return ruling

    def reply(self, phase: Phase, *, over: bool) -> Reply | None:
        """Return the answer to a request that is not to go on, None if it is."""
        ruling = self.rule(phase, over=over)
        if ruling is None:
            return None
        if ruling.does == "redirect":
            return Reply(ruling.status, ((b"Location", ruling.to.encode("ascii")),), b"")
        denied = HTTP_REQUEST_DENIED
        return Reply(ruling.status, reason=denied.code, detail=denied.text, cut=ruling.does == "drop")

    def refuse(self, phase: Phase, *, over: bool) -> None:
        """Raise ExchangeError if the exchange, of which something has gone out already, is not to go on."""
        ruling = self.rule(phase, over=over)
        if ruling is not None:
            self.enforced = replace(ruling, does="block")
            status = ruling.status if ruling.does == "block" else self._policy.status
            raise ExchangeError(_denied(status, phase in ("response_head", "response_body")))

    def ruling(self) -> Ruling:
        """Return what there is to say of the exchange by now."""
        last = self._arbiter.decide("log")
        enforced = self.enforced
        if enforced is None:
            return last
        return replace(last, does=enforced.does, would=enforced.would, status=enforced.status, because=enforced.because)

    # The end.

    def finish(self, which: Sequence[int]) -> Deferred[Any] | None:
        """Call the checks ``which`` for the log; return what to wait for before it is written, None if nothing."""
        if self.pending:
            for _, call in self.pending:  # of a response that did not come to its end
                call.addErrback(lambda _: None)
                call.cancel()
            self.pending = []
        if which:
            self.look("log", which, hold=False)
        tails = [each for each in self._tails.values() if not each.called]
        if tails:
            return DeferredList(tails, consumeErrors=True).addCallback(lambda _: self.note())
        self.note()
        return None

    def note(self) -> None:
        """Leave word of what was found in the log, if that is anything."""
        if self._news:
            log = self.exchange.notes.setdefault("log", {})
            log["waf"] = merged(log.get("waf"), as_note(self.ruling(), self.spent))


@lru_cache(maxsize=100)
def _denied(status: int, of_response: bool) -> Reason:
    if of_response:
        return Reason("http_response_denied", status, Side.US, False, "The response was refused by a rule.")
    return Reason(HTTP_REQUEST_DENIED.code, status, Side.US, False, HTTP_REQUEST_DENIED.text)
