"""What a WAF check found and what it asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Finding", "Verdict"]

Severity = Literal["notice", "warning", "error", "critical"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One match of one rule: which rule, how many anomaly points, where, and a short piece of what matched."""

    rule: str
    score: int
    message: str
    severity: Severity = "warning"
    target: str = ""
    snippet: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One check's answer for one request: its findings, and whether it demands a block by itself.

    ``block`` blocks at once whatever the score; otherwise the filter adds up the scores of all checks and
    compares the sum with its threshold.
    """

    findings: tuple[Finding, ...] = field(default=())
    block: bool = False

    @property
    def score(self) -> int:
        """The sum of the findings' scores."""
        return sum(finding.score for finding in self.findings)
