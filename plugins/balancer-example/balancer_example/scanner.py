"""A check for the ``waf`` filter: clients that say they are vulnerability scanners."""

from __future__ import annotations

from pydantic import Field
from zope.interface import implementer

from balancer.hooks.interfaces import ICheck
from balancer.hooks.settings import Settings
from balancer.model.inspection.subject import Subject
from balancer.model.inspection.terms import CheckTerms, Phase
from balancer.model.verdict import Finding


class ScannerSettings(Settings):
    """Which names are looked for."""

    names: tuple[str, ...] = Field(default=("sqlmap", "nikto", "nessus"), description="Parts of a User-Agent.")
    score: int = Field(default=5, ge=1, description="What a hit adds to the request's score.")


@implementer(ICheck)
class Scanner:
    """Looks at ``User-Agent``."""

    terms = CheckTerms(phases=("request_head",))

    def __init__(self, settings: ScannerSettings) -> None:
        self._names = tuple(name.lower() for name in settings.names)
        self._score = settings.score

    def inspect(self, subject: Subject, phase: Phase) -> list[Finding]:
        """Return a finding for the first name that is found."""
        agent = (subject.facts.header("user-agent") or "").lower()
        for name in self._names:
            if name in agent:
                return [
                    Finding("scanner", self._score, f"a scanner: {name}", "warning", "header:user-agent", agent[:80])
                ]
        return []
