"""Feature flags: what a source, a plug-in, says of this request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from zope.interface import implementer

from balancer.hooks.interfaces import IFlags, IMatcher
from balancer.hooks.settings import StringMatch
from balancer.model.facts import RequestFacts

__all__ = ["UNKNOWN", "FlagMatcher"]


@implementer(IFlags)
class _NoFlags:
    """A source that knows no flag."""

    def value(self, name: str, facts: RequestFacts) -> str | None:
        """Return None."""
        return None


UNKNOWN = _NoFlags()
"""Stands in for a source that could not be made, while the rest is checked."""


@implementer(IMatcher)
@dataclass(frozen=True, slots=True)
class FlagMatcher:
    """Holds where the flag ``name`` of ``flags`` satisfies ``match``; a flag that is not there is like a header that is not."""

    flags: IFlags
    name: str
    match: StringMatch
    _holds: Any = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_holds", self.match.compiled())

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether it does."""
        return bool(self._holds(self.flags.value(self.name, facts)))

    def describe(self) -> str:
        """Return ``flag new-checkout: on``."""
        return f"flag {self.name}: {self.match}"
