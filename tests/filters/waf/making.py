"""Checks and filters for tests."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from twisted.internet.defer import Deferred, execute, succeed
from zope.interface import implementer

from balancer import testing
from balancer.filters.waf.filter import Waf
from balancer.hooks import hookimpl
from balancer.hooks.interfaces import Factory, ITap
from balancer.hooks.plugged import plugged_settings
from balancer.model.exchange import Exchange, Looked
from balancer.model.inspection.subject import Subject
from balancer.model.inspection.terms import CheckTerms, Phase
from balancer.model.verdict import Demand, Finding, Verdict

__all__ = ["Check", "Threads", "exchange", "found", "waf"]


def found(score: int = 5, demand: Demand | None = None, rule: str = "r", **more: Any) -> Verdict:
    """Return a verdict with one finding."""
    return Verdict((Finding(rule, score, "said", **more),), demand)


@implementer(ITap)
class Check:
    """Answers what the test says: for each phase, or whatever the phase; keeps what it has seen."""

    def __init__(self, answer: Any = None, **terms: Any) -> None:
        self.answer = answer
        self.terms = CheckTerms(**terms)
        self.seen: list[Any] = []
        self.pieces: list[bytes] = []

    def inspect(self, subject: Subject, phase: Phase) -> Any:
        body = subject.body if phase == "request_body" else subject.response_body
        self.seen.append((phase, body) if phase.endswith("_body") else phase)
        answer = self.answer.get(phase) if isinstance(self.answer, dict) else self.answer
        if isinstance(answer, BaseException):
            raise answer
        return answer(subject) if callable(answer) else answer

    def piece(self, subject: Subject, phase: Phase, data: bytes) -> Any:
        self.pieces.append(data)
        return found() if b"attack" in data else None


class Threads:
    """Runs calls when the test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def run(self, call: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred(lambda _: None)
        self.calls.append((answer, call, arguments))
        return answer

    def go(self, *, backwards: bool = False) -> None:
        """Run what waits."""
        calls, self.calls = self.calls, []
        for answer, call, arguments in reversed(calls) if backwards else calls:
            if not answer.called:
                execute(call, *arguments).addCallbacks(answer.callback, answer.errback)


def waf(*checks: Check, clock: Any = None, threads: Any = None, **settings: Any) -> Waf:
    """Return a waf filter with ``checks``, called c0, c1…, as a configuration would make it."""
    module = ModuleType("checks")
    offered = [Factory(f"c{at}", lambda _, check=check: check) for at, check in enumerate(checks)]
    module.balancer_checks = hookimpl(lambda: offered)  # type: ignore[attr-defined]
    registry = testing.registry(module)
    registry.clock, registry.threads = clock, threads
    plugged = {"waf": {"checks": [each.name for each in offered], **settings}}
    (made,) = plugged_settings(plugged, registry.factories("filters"), {"registry": registry})
    built: Waf = registry.build("filters", "waf", made.settings)
    return built


def exchange(
    url: str = "/", method: str = "GET", headers: Any = (), body: bytes | None = None, **more: Any
) -> Exchange:
    """Return an exchange as a running balancer makes it: one that can wait, and look at bodies without taking them."""
    made = testing.exchange(url, method, headers, **more)
    made.wait = lambda seconds: Deferred()
    if body is not None:
        made.look = lambda limit: succeed(Looked(body[:limit], len(body) <= limit))
    return made
