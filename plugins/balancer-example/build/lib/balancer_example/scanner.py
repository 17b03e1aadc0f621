"""A check for the ``waf`` filter: clients that say they are vulnerability scanners."""

from __future__ import annotations

from pydantic import Field
from zope.interface import implementer

from balancer.hooks.interfaces import ICheck
from balancer.hooks.settings import Settings
from balancer.model.exchange import Exchange
from balancer.model.verdict import Finding, Verdict


class ScannerSettings(Settings):
    """Which names are looked for."""

    names: tuple[str, ...] = Field(default=("sqlmap", "nikto", "nessus"), description="Parts of a User-Agent.")
    score: int = Field(default=5, ge=1, description="What a hit adds to the request's score.")


@implementer(ICheck)
class Scanner:
    """Looks at ``User-Agent``."""

    def __init__(self, settings: ScannerSettings) -> None:
        self._names = tuple(name.lower() for name in settings.names)
        self._score = settings.score

    def inspect(self, exchange: Exchange) -> Verdict | None:
        """Return a finding for the first name that is found."""
        agent = (exchange.facts.header("user-agent") or "").lower()
        for name in self._names:
            if name in agent:
                finding = Finding("scanner", self._score, f"a scanner: {name}", "warning", "user-agent", agent[:80])
                return Verdict((finding,))
        return None
