"""The check ``crs``: an exchange of the ``waf`` filter as the rules want it, and what they found as the filter wants it.

Rules keep scores of their own and act upon them; the filter adds up the scores of all its checks. So a match brings what it added to
the scores that count towards blocking, and what a rule wants done with the exchange is a demand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from twisted.logger import Logger
from zope.interface import implementer

from balancer.hooks.interfaces import ICheck
from balancer.model.inspection.subject import Subject
from balancer.model.inspection.terms import Buffer, CheckTerms, Phase
from balancer.model.verdict import Block, Demand, Drop, Finding, Redirect, Severity, Verdict
from balancer_crs.engine.engine import Engine
from balancer_crs.engine.matches import Interruption, Match
from balancer_crs.engine.messages import Request, Response
from balancer_crs.engine.transaction import Transaction
from balancer_crs.loading import load
from balancer_crs.settings import VERDICTS, CRSSettings

__all__ = ["CRSCheck"]

_log = Logger()

_SCORE = re.compile(r"(?:(?:inbound|outbound)_)?anomaly_score_pl([1-4])\Z")
_REPORTS = range(980_000, 981_000)
"""Rules that sum up what others found: the log has that from the filter."""
_SEVERITIES: dict[str | None, Severity] = {
    "emergency": "critical",
    "alert": "critical",
    "critical": "critical",
    "error": "error",
    "warning": "warning",
}
_PLACES = {"REQUEST_COOKIES": "cookie", "REQUEST_HEADERS": "header"}
"""Variables whose members are named as the filter names them, which keeps what is secret out of the log."""


@implementer(ICheck)
class CRSCheck:
    """See the module. In a thread: a request takes a millisecond or two, a large body a hundred.

    Raises:
        ValueError: the rules cannot be found, or used.
    """

    def __init__(self, settings: CRSSettings) -> None:
        program = load(settings)
        self.engine = Engine(program, mode="On" if program.settings.rule_engine == "DetectionOnly" else None)
        for note in self.engine.notes:
            _log.warn("crs: {note}", note=note)
        said = program.settings
        kinds = said.response_body_mime_types if said.response_body_access else ()
        phases: tuple[Phase, ...] = ("request_head", "request_body", "response_head", "log")
        self.terms = CheckTerms(
            phases=(*phases, "response_body") if kinds else phases,
            lane="thread",
            request_body=Buffer(settings.body_limit),
            response_body=Buffer(settings.response_limit, tuple(kinds)) if kinds else "none",
            budget=settings.budget,
            on_error=settings.on_error,
            on_timeout=settings.on_timeout,
        )
        self._level = _level(program.initial)

    def inspect(self, subject: Subject, phase: Phase) -> Verdict | None:
        """Run the rules of ``phase``. A request without a body has those for bodies run with its head."""
        transaction: Transaction | None = subject.kept.get(self)
        if transaction is None:
            transaction = subject.kept[self] = self.engine.transaction(_request(subject))
        before, over = len(transaction.matches), transaction.interruption is not None
        if phase == "request_head":
            transaction.request_head()
            if not subject.body_follows:
                transaction.request_body()
        elif phase == "request_body":
            transaction.request_body(subject.body, whole=subject.body_whole)
        elif phase == "response_head":
            transaction.response_head(_response(subject))
        elif phase == "response_body":
            transaction.response_body(subject.response_body)
        else:
            transaction.logging()
        findings = tuple(self._finding(each) for each in transaction.matches[before:] if _is_told(each))
        demand = None if over or phase == "log" else _demand(transaction.interruption)
        return Verdict(findings, demand) if findings or demand else None

    def _finding(self, match: Match) -> Finding:
        score = 0
        for name, points in match.scores.items():
            level = _SCORE.match(name)
            if level is not None and int(level[1]) <= self._level:
                score += points
        variable, colon, member = match.target.partition(":")
        place = _PLACES.get(variable)
        return Finding(
            str(match.id),
            max(0, score),
            match.msg or f"rule {match.id}",
            _SEVERITIES.get(match.severity, "notice"),
            f"{place}:{member.lower() if place == 'header' else member}" if place and colon else match.target,
            (match.found or match.value).decode("utf-8", "backslashreplace"),
        )

    def __repr__(self) -> str:
        return f"<CRSCheck {self.engine!r}>"


def _level(initial: Mapping[str, str]) -> int:
    """Return the highest paranoia level whose points count: CRS 4 and 3.3 call it differently, and default to 1."""
    said = initial.get("blocking_paranoia_level") or initial.get("paranoia_level") or "1"
    return int(said) if said.isdecimal() else 1


def _is_told(match: Match) -> bool:
    return match.rule.log and match.id not in VERDICTS and match.id not in _REPORTS


def _request(subject: Subject) -> Request:
    facts = subject.facts
    return Request(
        facts.method.encode("latin-1"),
        facts.target.encode("latin-1"),
        f"HTTP/{facts.version}".encode("latin-1"),
        tuple(facts.headers),
        facts.peer.host,
        facts.peer.port,
        facts.local.host,
        facts.local.port,
    )


def _response(subject: Subject) -> Response:
    return Response(subject.status, tuple(subject.response_headers))


def _demand(wanted: Interruption | None) -> Demand | None:
    if wanted is None:
        return None
    if wanted.kind == "redirect" and wanted.url:
        return Redirect(wanted.url, wanted.status)
    if wanted.kind == "drop":
        return Drop()
    # The verdict of the scores is answered as the filter answers for all its checks.
    return Block(0 if wanted.rule in VERDICTS else wanted.status)
