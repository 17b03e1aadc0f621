"""The scheme the client used: ``http`` or ``https``."""

from __future__ import annotations

from dataclasses import dataclass

from zope.interface import implementer

from balancer.hooks.interfaces import IMatcher
from balancer.model.facts import RequestFacts

__all__ = ["SchemeMatcher"]


@implementer(IMatcher)
@dataclass(frozen=True, slots=True)
class SchemeMatcher:
    """Holds where the request came by ``scheme``."""

    scheme: str

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether the request's scheme is the one named."""
        return facts.scheme == self.scheme

    def describe(self) -> str:
        """Return ``scheme is https``."""
        return f"scheme is {self.scheme}"
