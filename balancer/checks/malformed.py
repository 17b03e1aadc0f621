"""The check ``malformed``: queries, cookies and bodies that are not what they say they are, or that two readers may read in two ways.

What is malformed was noted when the request was parsed (:mod:`balancer.model.inspection.inputs`); here each kind of it gets a score.
"""

from __future__ import annotations

from pydantic import Field
from zope.interface import implementer

from balancer.hooks.interfaces import Factory, ICheck
from balancer.hooks.settings import Settings, Size
from balancer.model.inspection.subject import Subject
from balancer.model.inspection.terms import Buffer, CheckTerms, Phase
from balancer.model.inspection.values import Fault
from balancer.model.verdict import Finding

__all__ = ["MALFORMED", "Malformed", "MalformedSettings"]

_TYPES = ("application/x-www-form-urlencoded", "multipart/*", "application/json", "*+json", "text/json")
_OF_BODIES = ("body", "form", "json", "multipart")


class MalformedSettings(Settings):
    """What malformed input is worth."""

    score: int = Field(default=3, ge=0, description="What each kind adds to the request's score.")
    ignore: tuple[str, ...] = Field(
        default=(),
        description="Kinds that are all right here, as the log has them behind 'malformed/': `multipart.bare_lf`.",
    )
    limit: Size = Field(default=128 * 1024, ge=1, description="Bytes of a body that are looked at.")


@implementer(ICheck)
class Malformed:
    """See the module. In a thread, as bodies are parsed for it."""

    def __init__(self, settings: MalformedSettings) -> None:
        self.terms = CheckTerms(
            ("request_head", "request_body"), lane="thread", request_body=Buffer(settings.limit, _TYPES)
        )
        self._score = settings.score
        self._ignore = frozenset(settings.ignore)

    def inspect(self, subject: Subject, phase: Phase) -> list[Finding]:
        """Return a finding for each kind of fault: of query and cookies first, then of the body."""
        of_body = phase == "request_body"
        faults = [each for each in subject.inputs.faults if (each.source in _OF_BODIES) == of_body]
        return [self._finding(each) for each in faults if f"{each.source}.{each.code}" not in self._ignore]

    def _finding(self, fault: Fault) -> Finding:
        return Finding(f"malformed/{fault.source}.{fault.code}", self._score, fault.detail, "warning", fault.source)


MALFORMED = Factory("malformed", Malformed, MalformedSettings)
