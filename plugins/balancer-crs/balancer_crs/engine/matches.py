"""What rules found, and what they want done."""

from __future__ import annotations

from dataclasses import dataclass

from balancer_crs.lang.model import Rule

SEVERITIES = ("emergency", "alert", "critical", "error", "warning", "notice", "info", "debug")


@dataclass(frozen=True, slots=True)
class Interruption:
    """What becomes of the exchange.

    Attributes:
        kind: ``deny``, ``drop`` or ``redirect``.
        status: of the answer.
        url: of a redirect.
        rule: id of the rule that says so; 0: a limit was passed.
        reason: its message.
    """

    kind: str
    status: int
    url: str | None
    rule: int
    reason: str


class Match:
    """A rule that matched.

    Attributes:
        rule: the first of the chain.
        target: the last variable that matched, ``ARGS:x``; empty for an action.
        value: what it held, transformed, cut.
        found: what of it matched, where the operator knows, cut.
        msg, logdata: with their macros replaced.
        scores: what it added to variables: name and number, ``{"inbound_anomaly_score_pl1": 5}``.
        disruptive: whether it wants to interrupt.
    """

    __slots__ = ("disruptive", "found", "logdata", "msg", "rule", "scores", "target", "value")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.target = ""
        self.value = b""
        self.found = b""
        self.msg = ""
        self.logdata = ""
        self.scores: dict[str, int] = {}
        self.disruptive = False

    @property
    def id(self) -> int:
        """Its rule's id."""
        return self.rule.id

    @property
    def severity(self) -> str | None:
        """Its rule's severity as a word."""
        return None if self.rule.severity is None else SEVERITIES[self.rule.severity]

    def __repr__(self) -> str:
        return f"<Match {self.rule.id} {self.target} {self.msg!r}>"
