"""What a WAF check found and what it asks for.

A check returns findings, whose scores the arbiter adds up over all checks, or a :class:`Verdict`: findings and a demand.

=================  ==========================================================================================
demand             what becomes of the exchange (unless the check or the route is in mode ``detect``)
=================  ==========================================================================================
:class:`Block`     refused, with the demand's status or the filter's
:class:`Drop`      cut: the client gets no answer
:class:`Redirect`  answered with a redirect
:class:`Allow`     within its scope, findings and demands of the checks behind count no more
=================  ==========================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "SCOPES",
    "SEVERITIES",
    "Allow",
    "Block",
    "Demand",
    "Drop",
    "Finding",
    "Redirect",
    "Scope",
    "Severity",
    "Verdict",
]

Severity = Literal["notice", "warning", "error", "critical"]
SEVERITIES: tuple[Severity, ...] = ("notice", "warning", "error", "critical")

Scope = Literal["phase", "request", "response", "exchange"]
SCOPES: tuple[Scope, ...] = ("phase", "request", "response", "exchange")


@dataclass(frozen=True, slots=True)
class Finding:
    """One match of one rule.

    Args:
        rule: its id, ``"942100"`` or ``"sqli/union"``; a number of the check's range where that declares one.
        score: anomaly points, 0 for what is only to be known; negative ones are not possible.
        message: what it means, for the log.
        severity: how bad it is.
        target: where it was, as :class:`~.inspection.values.Value` names places: ``args:q``.
        snippet: a piece of what matched; cut and redacted before it is written down.
    """

    rule: str
    score: int
    message: str
    severity: Severity = "warning"
    target: str = ""
    snippet: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """Refuse the exchange, with ``status``; 0: with that of the filter."""

    status: int = 0


@dataclass(frozen=True, slots=True)
class Drop:
    """Cut the client off without an answer."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Send the client to the URL or path ``to``."""

    to: str
    status: int = 302


@dataclass(frozen=True, slots=True)
class Allow:
    """Let pass what the checks behind this one find.

    ``scope``: ``phase`` is the rest of this phase, ``request`` that of the request's phases, ``response`` those of the response,
    ``exchange`` everything that follows. ``checks``: only those of these names; none: all.
    """

    scope: Scope = "request"
    checks: tuple[str, ...] = ()


Demand = Block | Drop | Redirect | Allow


@dataclass(frozen=True, slots=True)
class Verdict:
    """One check's answer in one phase: its findings, and what it demands at once, whatever the score."""

    findings: tuple[Finding, ...] = field(default=())
    demand: Demand | None = None

    @property
    def score(self) -> int:
        """The sum of the findings' scores."""
        return sum(finding.score for finding in self.findings)
