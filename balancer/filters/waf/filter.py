"""The ``waf`` filter: has checks look at an exchange in its phases, and refuses what the arbiter does not let pass.

::

    request_head ──> request_body ──> [the server] ──> response_head ──> response_body ──> log
          └── refused: 403, redirect, cut                   └── refused: 403, as long as nothing has been sent

What is held for the checks, and what only passes by them:

* a request's body, up to ``body_limit``, if a check that may block buffers it; not with ``streaming``, for gRPC or an upgrade;
* a response whose length is known, up to ``response_limit``, if such a check looks at it; not event streams, gRPC or upgrades;
* nothing at all in mode ``detect``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from balancer.errors import HTTP_BODY_TOO_LARGE
from balancer.filters.waf.arbiter import CheckRules, Policy
from balancer.filters.waf.bodies import HeldResponse, RequestCopy, ResponseCopy
from balancer.filters.waf.inspection import Inspection, Waiting
from balancer.filters.waf.report import in_words
from balancer.filters.waf.settings import WafSettings
from balancer.hooks.check_guard import GuardedCheck
from balancer.hooks.interfaces import Factory, IFilter
from balancer.model import headers as fields
from balancer.model.exchange import Exchange, Looked, Reply
from balancer.model.inspection.terms import Buffer, Phase

__all__ = ["WAF", "Waf"]

_WITH_BODY = ("POST", "PUT", "PATCH")
_NO_BODY = frozenset([101, 204, 304])
_STREAMS = ("application/grpc", "text/event-stream")


@implementer(IFilter)
class Waf:
    """See the module.

    Args:
        checks: in order, behind their guards.
        settings: what is configured.

    Raises:
        ValueError: the numbers of two checks' rules overlap.
    """

    name = "waf"
    on_error = "deny"
    body_limit = 0  # bodies are looked at without being taken

    def __init__(self, checks: Sequence[GuardedCheck], settings: WafSettings) -> None:
        _apart(checks)
        self._checks = tuple(checks)
        self._settings = settings
        self._policy = Policy(
            tuple(
                CheckRules(check.name, settings.modes.get(check.name, "block"), check.on_error, check.on_timeout)
                for check in checks
            ),
            settings.mode,
            settings.threshold.inbound,
            settings.threshold.outbound,
            settings.status,
            settings.early,
        )
        self._heads = self._of("request_head")
        self._response_heads = self._of("response_head")
        self._logs = self._of("log")
        self._taps, self._buffers = self._by_need("request_body", settings.body_limit)
        self._response_taps, self._response_buffers = self._by_need("response_body", settings.response_limit)

    @classmethod
    def of(cls, settings: WafSettings) -> Waf:
        """Return the filter that ``settings`` describe; checks that are off are not made."""
        checks = (plugged for plugged in settings.checks if settings.modes.get(plugged.name) != "off")
        return cls([plugged.build() for plugged in checks] if settings.mode != "off" else (), settings)

    @property
    def is_off(self) -> bool:
        """Whether it has nothing to do, and need not be called."""
        return not self._checks

    def _of(self, phase: Phase) -> tuple[int, ...]:
        """Return the numbers of the checks of ``phase``, in the order they are called: those that answer at once go first."""
        mine = [at for at, check in enumerate(self._checks) if phase in check.terms.phases]
        return tuple(sorted(mine, key=lambda at: self._checks[at].terms.lane != "inline"))

    def _by_need(self, phase: Phase, limit: int) -> tuple[tuple[int, ...], tuple[tuple[int, Buffer], ...]]:
        if not limit:
            return (), ()
        needs = [(at, getattr(self._checks[at].terms, phase)) for at in self._of(phase)]
        taps = tuple(at for at, need in needs if need == "tap")
        return taps, tuple((at, need) for at, need in needs if isinstance(need, Buffer))

    # The request.

    def request(self, exchange: Exchange) -> Reply | Deferred[Reply | None] | None:
        """Have the request looked at; where that takes time, return a Deferred."""
        run = Inspection(self._checks, self._policy, self._settings.budget, exchange)
        exchange.notes[f"waf:{id(self)}"] = run
        exchange.at_end = (*exchange.at_end, lambda: run.finish(self._logs))
        taps, buffers = self._taps, self._buffers
        if (taps or buffers) and not _has_body(exchange):
            taps, buffers = (), ()
        elif buffers:
            kind = run.subject.inputs.kind
            buffers = tuple(each for each in buffers if each[1].wants(kind))
        run.subject.body_follows = bool(taps or buffers)
        waiting = run.look("request_head", self._heads)
        if not waiting:
            holds = self._holds(run, buffers)
            reply = run.reply("request_head", over=not holds)
            if reply is not None:
                return reply
            if not holds and exchange.body is None:
                self._copy(run, taps, buffers)
                return None
        outcome: Reply | Deferred[Reply | None] | None = _at_once(
            Deferred.fromCoroutine(self._rest(run, waiting, taps, buffers))
        )
        return outcome

    def _holds(self, run: Inspection, buffers: Sequence[tuple[int, Buffer]]) -> bool:
        """Whether the request's body is to be held."""
        exchange = run.exchange
        if not buffers or exchange.body is not None or exchange.look is None or self._settings.streaming:
            return False
        if run.subject.inputs.kind.startswith("application/grpc") or exchange.facts.header("upgrade") is not None:
            return False
        return any(run.may_block(at) for at, _ in buffers)

    def _copy(self, run: Inspection, taps: Sequence[int], buffers: Sequence[tuple[int, Buffer]]) -> None:
        if taps or buffers:
            limit = _limit(buffers, self._settings.body_limit)
            run.exchange.change_request(RequestCopy(run, taps, [at for at, _ in buffers], limit))

    async def _rest(
        self, run: Inspection, waiting: Waiting, taps: Sequence[int], buffers: Sequence[tuple[int, Buffer]]
    ) -> Reply | None:
        exchange = run.exchange
        if waiting:
            await run.wait(waiting, "request_head")
        holds = self._holds(run, buffers)
        whole = exchange.body
        reply = run.reply("request_head", over=not holds and whole is None)
        if reply is not None:
            return reply
        if whole is None and not holds:
            self._copy(run, taps, buffers)
            return None
        numbers = [at for at, _ in buffers]
        if whole is not None:
            looked = Looked(whole, whole=True)
        else:
            assert exchange.look is not None
            looked = await exchange.look(_limit(buffers, self._settings.body_limit))
        if looked.whole:
            if looked.body:
                run.piece("request_body", taps, looked.body)
            numbers = [*taps, *numbers]
        elif self._settings.body_over == "refuse":
            reason = HTTP_BODY_TOO_LARGE
            return Reply(reason.status, reason=reason.code, detail=reason.text)
        elif taps:
            self._copy(run, taps, ())
        run.subject.body_is(looked.body, looked.whole)
        waiting = run.look("request_body", numbers)
        if waiting:
            await run.wait(waiting, "request_body")
        return run.reply("request_body", over=True)

    # The response.

    def response(self, exchange: Exchange) -> None:
        """Have the response's head looked at, and see to its body."""
        run: Inspection | None = exchange.notes.get(f"waf:{id(self)}")
        if run is None or run.enforced is not None:
            return
        if not (self._response_heads or self._response_taps or self._response_buffers):
            return
        subject = run.subject
        subject.status, subject.response_headers = exchange.status, exchange.response_headers
        kind = (
            next(fields.values(exchange.response_headers, b"content-type"), b"")
            .partition(b";")[0]
            .strip()
            .lower()
            .decode("latin-1")
        )
        taps, buffers = self._response_taps, [at for at, need in self._response_buffers if need.wants(kind)]
        if exchange.status in _NO_BODY or exchange.method == "HEAD":
            taps, buffers = (), []
        length = exchange.response_length
        holds = (
            length is not None
            and length <= self._settings.response_limit
            and exchange.status != 101
            and not kind.startswith(_STREAMS)
        )
        run.pending = run.look("response_head", self._response_heads, hold=holds)
        run.refuse("response_head", over=not (taps or buffers or run.pending))
        if run.pending or (holds and any(run.may_block(at) for at in (*taps, *buffers))):
            held = HeldResponse(run, taps, buffers)
            exchange.hold = held.decide
            exchange.change_response(held)
        elif taps or buffers:
            exchange.change_response(ResponseCopy(run, taps, buffers, self._settings.response_limit))

    def describe(self, exchange: Exchange) -> str:
        """Say what the checks found."""
        names = ", ".join(check.name for check in self._checks)
        run: Inspection | None = exchange.notes.get(f"waf:{id(self)}")
        if run is None:
            return names
        settings = self._settings
        words = in_words(run.ruling(), settings.threshold.inbound, settings.threshold.outbound, run.spent)
        return f"{names}: {words}"

    def __repr__(self) -> str:
        return f"<Waf {', '.join(check.name for check in self._checks)} in mode {self._settings.mode}>"


def _apart(checks: Sequence[GuardedCheck]) -> None:
    """Raise ValueError if the rules of two checks have the same numbers."""
    numbered = [(check.terms.ids, check.name) for check in checks if check.terms.ids is not None]
    numbered.sort(key=lambda each: each[0].start)
    for (before, first), (after, second) in pairwise(numbered):
        if after and before and after[0] <= before[-1] and first != second:
            raise ValueError(
                f"the checks {first} and {second} both have rules from {after[0]} to {min(before[-1], after[-1])}"
            )


def _limit(buffers: Sequence[tuple[int, Buffer]], most: int) -> int:
    return min(most, max((need.limit for _, need in buffers), default=0))


def _has_body(exchange: Exchange) -> bool:
    """Whether there is, or may come, a body."""
    if exchange.body is not None:
        return bool(exchange.body)
    facts = exchange.facts
    length = facts.header("content-length")
    if length is not None:
        return length != "0"
    # In HTTP/2 nothing need announce a body: one that has none is known at once to have ended.
    return (
        facts.header("transfer-encoding") is not None or facts.version.startswith("2") or exchange.method in _WITH_BODY
    )


def _at_once(outcome: Deferred[Any]) -> Any:
    """Return what ``outcome`` has fired with, if it has; else itself."""
    if not outcome.called or outcome.paused:
        return outcome
    found: list[Any] = []
    outcome.addBoth(found.append)
    if isinstance(found[0], Failure):
        found[0].raiseException()
    return found[0]


WAF = Factory("waf", Waf.of, WafSettings)
