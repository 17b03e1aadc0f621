"""The check ``request_limits``: more arguments, longer names or values, more cookies than an application has use for.

It looks at the head alone, and so costs next to nothing: what is in a body is limited by the ``body_limit`` of the filter.
"""

from __future__ import annotations

from pydantic import Field
from zope.interface import implementer

from balancer.hooks.interfaces import Factory, ICheck
from balancer.hooks.settings import Settings
from balancer.model.inspection.subject import Subject
from balancer.model.inspection.terms import CheckTerms, Phase
from balancer.model.verdict import Finding

__all__ = ["REQUEST_LIMITS", "RequestLimits", "RequestLimitsSettings"]


class RequestLimitsSettings(Settings):
    """How much there may be in the head of a request."""

    arguments: int = Field(default=255, ge=0, description="Arguments in the query.")
    name: int = Field(default=256, ge=1, description="Characters in the name of one.")
    value: int = Field(default=4096, ge=1, description="Characters in the value of one.")
    cookies: int = Field(default=100, ge=0, description="Cookies.")
    score: int = Field(default=5, ge=0, description="What each excess adds to the request's score.")


@implementer(ICheck)
class RequestLimits:
    """See the module."""

    terms = CheckTerms()

    def __init__(self, settings: RequestLimitsSettings) -> None:
        self._settings = settings

    def inspect(self, subject: Subject, phase: Phase) -> list[Finding]:
        """Return a finding for each limit that is passed."""
        allowed, inputs = self._settings, subject.inputs
        found = []
        for rule, count, most, what in (
            ("arguments", len(inputs.query), allowed.arguments, "arguments"),
            ("cookies", len(inputs.cookies), allowed.cookies, "cookies"),
            ("name", max((len(each.name) for each in inputs.query), default=0), allowed.name, "characters in a name"),
            (
                "value",
                max((len(each.text) for each in inputs.query), default=0),
                allowed.value,
                "characters in a value",
            ),
        ):
            if count > most:
                message = f"{count} {what}, {most} are allowed"
                found.append(Finding(f"request_limits/{rule}", allowed.score, message, "warning", "query"))
        return found


REQUEST_LIMITS = Factory("request_limits", RequestLimits, RequestLimitsSettings)
