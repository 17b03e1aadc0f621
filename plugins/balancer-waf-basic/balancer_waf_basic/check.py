"""A check made of patterns: RE2 expressions, which take linear time on any text."""

from __future__ import annotations

from collections.abc import Sequence

import re2
from pydantic import Field
from zope.interface import implementer

from balancer.hooks.interfaces import ICheck
from balancer.hooks.settings import Settings
from balancer.model.inspection.subject import Subject
from balancer.model.inspection.terms import Buffer, CheckTerms, Phase
from balancer.model.verdict import Finding
from balancer_waf_basic.inputs import texts
from balancer_waf_basic.rules import Rule


class PatternSettings(Settings):
    """What is left out."""

    exclude: tuple[str, ...] = Field(default=(), description="Names of arguments and cookies that are not looked at.")


@implementer(ICheck)
class PatternCheck:
    """Looks for every rule in every text; each rule counts once a request.

    In a thread: a body of 128 KiB takes some milliseconds, for which the reactor is not to stand still.

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
        self.terms = CheckTerms(("request_head", "request_body"), lane="thread", request_body=Buffer(128 * 1024))

    def inspect(self, subject: Subject, phase: Phase) -> list[Finding]:
        """Return what was found in the head, then in the body; a rule counts once."""
        findings: dict[str, Finding] = subject.kept.setdefault(self, {})
        before = len(findings)
        for where, name, text in texts(subject, phase):
            if name in self._exclude or not self._any.search(text):
                continue
            for rule, pattern in self._rules:
                found = None if rule.name in findings else pattern.search(text)
                if found:
                    target = f"{where}:{name}" if name else where
                    findings[rule.name] = Finding(
                        f"{self._name}/{rule.name}", rule.score, rule.message, "critical", target, found[0][:80]
                    )
        return list(findings.values())[before:]

    def __repr__(self) -> str:
        return f"<PatternCheck {self._name}>"
