"""Methods: case-sensitive, as RFC 9110 section 9.1 has them."""

from __future__ import annotations

from dataclasses import dataclass

from zope.interface import implementer

from balancer.hooks.interfaces import IMatcher
from balancer.model.facts import RequestFacts

__all__ = ["MethodMatcher"]


@implementer(IMatcher)
@dataclass(frozen=True, slots=True)
class MethodMatcher:
    """Holds where the request's method is one of ``methods``."""

    methods: frozenset[str]

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether the method is one of those named."""
        return facts.method in self.methods

    def describe(self) -> str:
        """Return ``method is GET or POST``."""
        return f"method is {' or '.join(sorted(self.methods))}"
