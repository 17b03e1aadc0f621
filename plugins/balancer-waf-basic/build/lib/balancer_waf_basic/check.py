"""A check made of patterns: RE2 expressions, which take linear time on any text."""

from __future__ import annotations

from collections.abc import Sequence

import re2
from pydantic import Field
from zope.interface import implementer

from balancer.hooks.interfaces import ICheck
from balancer.hooks.settings import Settings
from balancer.model.exchange import Exchange
from balancer.model.verdict import Finding, Verdict
from balancer_waf_basic.inputs import texts
from balancer_waf_basic.rules import Rule


class PatternSettings(Settings):
    """What is left out."""

    exclude: tuple[str, ...] = Field(default=(), description="Names of arguments and cookies that are not looked at.")


@implementer(ICheck)
class PatternCheck:
    """Looks for every rule in every text; each rule counts once a request.

    Args:
        name: of the check.
        rules: what to look for.
        settings: what to leave out.
    """

    def __init__(self, name: str, rules: Sequence[Rule], settings: PatternSettings) -> None:
        options = re2.Options()
        options.case_sensitive = False
        options.log_errors = False
        options.max_mem = 32 << 20
        self._name = name
        self._rules = [(rule, re2.compile(rule.pattern, options)) for rule in rules]
        # One expression for all: a text without any of them, which is nearly every text, is looked at once.
        self._any = re2.compile("|".join(f"(?:{rule.pattern})" for rule in rules), options)
        self._exclude = frozenset(settings.exclude)

    def inspect(self, exchange: Exchange) -> Verdict | None:
        """Return what was found."""
        findings: dict[str, Finding] = {}
        for where, name, text in texts(exchange):
            if name in self._exclude or not self._any.search(text):
                continue
            for rule, pattern in self._rules:
                found = None if rule.name in findings else pattern.search(text)
                if found:
                    target = f"{where}:{name}" if name else where
                    findings[rule.name] = Finding(
                        f"{self._name}/{rule.name}", rule.score, rule.message, "critical", target, found[0][:80]
                    )
        return Verdict(tuple(findings.values())) if findings else None

    def __repr__(self) -> str:
        return f"<PatternCheck {self._name}>"
