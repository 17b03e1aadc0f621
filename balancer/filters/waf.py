"""The ``waf`` filter: runs checks over a request and refuses it if they find too much.

::

    checks in order ──> each adds its findings' scores ──┬── a verdict that demands it, or the threshold is reached ──> 403
                                                         └── else the request goes on

In mode ``detect`` every check runs and nothing is refused. Either way what was found goes into the access log (JSON) under
``notes.waf``; the client is told the request's id and nothing about rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field
from twisted.internet.defer import Deferred
from zope.interface import implementer

from balancer.errors import HTTP_REQUEST_DENIED
from balancer.hooks.interfaces import ICheck, IFilter
from balancer.hooks.plugged import Pluggable, Plugged
from balancer.hooks.settings import Settings, Size
from balancer.model.exchange import Exchange, Reply
from balancer.model.verdict import Verdict

__all__ = ["Waf", "WafSettings"]

_SNIPPET = 100
"""Characters of what a rule matched that go into the log."""


class WafSettings(Settings):
    """A web application firewall: checks of plug-in packages over the head and the body of requests."""

    checks: tuple[Annotated[Plugged, Pluggable("checks")], ...] = Field(
        min_length=1, description="The checks to run, in this order; each a name or `{name: settings}`."
    )
    mode: Literal["block", "detect"] = Field(
        default="block", description="`detect` lets everything through and only writes down what was found."
    )
    threshold: int = Field(default=5, ge=1, description="The sum of scores from which a request is refused.")
    body_limit: Size = Field(
        default=128 * 1024,
        ge=0,
        description="Bytes of a body that are held for the checks; a longer one is refused with 413. 0: bodies are not "
        "looked at, and stream.",
    )
    status: int = Field(default=403, ge=400, le=599, description="What a refused client gets.")


@implementer(IFilter)
class Waf:
    """See the module.

    Args:
        checks: names and checks, in order.
        mode, threshold, body_limit, status: as in :class:`WafSettings`.
    """

    name = "waf"
    on_error = "deny"

    def __init__(
        self,
        checks: Sequence[tuple[str, ICheck]],
        mode: str = "block",
        threshold: int = 5,
        body_limit: int = 128 * 1024,
        status: int = 403,
    ) -> None:
        self.body_limit = body_limit
        self._checks = tuple(checks)
        self._blocks = mode == "block"
        self._threshold = threshold
        self._status = status

    @classmethod
    def of(cls, settings: WafSettings) -> Waf:
        """Return the filter that ``settings`` describe."""
        checks = [(plugged.name, plugged.build()) for plugged in settings.checks]
        return cls(checks, settings.mode, settings.threshold, settings.body_limit, settings.status)

    def request(self, exchange: Exchange) -> Reply | Deferred[Reply | None] | None:
        """Run the checks."""
        tally = _Tally(exchange)
        left = iter(self._checks)
        for name, check in left:
            found: Any = check.inspect(exchange)
            if isinstance(found, Deferred):
                return Deferred.fromCoroutine(self._wait(tally, name, found, left))
            if self._decides(tally, name, found):
                break
        return self._outcome(tally)

    async def _wait(
        self, tally: _Tally, name: str, waiting: Deferred[Any], left: Iterator[tuple[str, ICheck]]
    ) -> Reply | None:
        if not self._decides(tally, name, await waiting):
            for following, check in left:
                found: Any = check.inspect(tally.exchange)
                if isinstance(found, Deferred):
                    found = await found
                if self._decides(tally, following, found):
                    break
        return self._outcome(tally)

    def _decides(self, tally: _Tally, name: str, verdict: Verdict | None) -> bool:
        """Add ``verdict``; return whether no other check need run."""
        if verdict is not None:
            tally.add(name, verdict)
        return self._blocks and self._refuses(tally)

    def _refuses(self, tally: _Tally) -> bool:
        return tally.demanded or tally.score >= self._threshold

    def _outcome(self, tally: _Tally) -> Reply | None:
        if not tally.findings and not tally.demanded:
            return None
        refused = self._refuses(tally)
        action = "passed" if not refused else "blocked" if self._blocks else "detected"
        log = tally.exchange.notes.setdefault("log", {})
        log["waf"] = {"action": action, "score": tally.score, "findings": tally.findings}
        if action != "blocked":
            return None
        return Reply(self._status, reason=HTTP_REQUEST_DENIED.code, detail=HTTP_REQUEST_DENIED.text)

    def response(self, exchange: Exchange) -> None:
        """Responses are not looked at."""

    def describe(self, exchange: Exchange) -> str:
        """Say what the checks found."""
        found = exchange.notes.get("log", {}).get("waf")
        names = ", ".join(name for name, _ in self._checks)
        if found is None:
            return f"{names}: nothing found"
        rules = ", ".join(dict.fromkeys(finding["rule"] for finding in found["findings"]))
        return f"{names}: {found['action']}, score {found['score']} of {self._threshold} ({rules})"

    def __repr__(self) -> str:
        return f"<Waf {', '.join(name for name, _ in self._checks)} {'blocks' if self._blocks else 'detects'}>"


class _Tally:
    """What the checks found in one exchange so far."""

    __slots__ = ("demanded", "exchange", "findings", "score")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.findings: list[dict[str, Any]] = []
        self.score = 0
        self.demanded = False

    def add(self, name: str, verdict: Verdict) -> None:
        """Add the findings of the check ``name``."""
        self.score += verdict.score
        self.demanded = self.demanded or verdict.block
        for finding in verdict.findings:
            self.findings.append(
                {
                    "check": name,
                    "rule": finding.rule,
                    "score": finding.score,
                    "severity": finding.severity,
                    "message": finding.message,
                    "target": finding.target,
                    "snippet": finding.snippet[:_SNIPPET],
                }
            )
