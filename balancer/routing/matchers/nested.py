"""Conditions made of conditions: all of them, any of them, not."""

from __future__ import annotations

from dataclasses import dataclass

from zope.interface import implementer

from balancer.hooks.interfaces import IMatcher
from balancer.model.facts import RequestFacts

__all__ = ["AllMatcher", "AnyMatcher", "NotMatcher"]


@implementer(IMatcher)
@dataclass(frozen=True, slots=True)
class AllMatcher:
    """Holds where every one of ``parts`` does; with no parts, always."""

    parts: tuple[IMatcher, ...]

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether all parts hold."""
        return all(part.matches(facts) for part in self.parts)

    def describe(self) -> str:
        """Return the parts joined by ``and``."""
        return " and ".join(_bracketed(part, AnyMatcher) for part in self.parts) or "always"


@implementer(IMatcher)
@dataclass(frozen=True, slots=True)
class AnyMatcher:
    """Holds where one of ``parts`` does; with no parts, never."""

    parts: tuple[IMatcher, ...]

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether one part holds."""
        return any(part.matches(facts) for part in self.parts)

    def describe(self) -> str:
        """Return the parts joined by ``or``."""
        return " or ".join(_bracketed(part, AllMatcher) for part in self.parts) or "never"


@implementer(IMatcher)
@dataclass(frozen=True, slots=True)
class NotMatcher:
    """Holds where ``part`` does not."""

    part: IMatcher

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether the part does not hold."""
        return not self.part.matches(facts)

    def describe(self) -> str:
        """Return ``not (…)``."""
        return f"not ({self.part.describe()})"


def _bracketed(part: IMatcher, other: type[AllMatcher | AnyMatcher]) -> str:
    text = part.describe()
    return f"({text})" if isinstance(part, other) and len(part.parts) > 1 else text
