"""Named values of a request: header fields, query parameters, cookies.

A header or query parameter may be repeated: its condition holds where it holds for *any* of the values. ``present:
false`` holds where there is no value at all; for "no value is …", use ``not``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from zope.interface import implementer

from balancer.hooks.interfaces import IMatcher
from balancer.hooks.settings import StringMatch
from balancer.model.facts import RequestFacts

__all__ = ["FieldKind", "FieldMatcher", "values_of"]

FieldKind = Literal["header", "query", "cookie"]


def values_of(facts: RequestFacts, kind: FieldKind, name: str) -> Sequence[str]:
    """Return every value of one header (``name`` in lower case), query parameter or cookie; empty if absent."""
    if kind == "header":
        return facts.header_values(name)
    if kind == "query":
        return facts.query.get(name, ())
    value = facts.cookies.get(name)
    return () if value is None else (value,)


@implementer(IMatcher)
@dataclass(frozen=True, slots=True)
class FieldMatcher:
    """Holds where a value of the named field satisfies ``match``; header names are compared without case."""

    kind: FieldKind
    name: str
    match: StringMatch
    exact: str | None = field(init=False, compare=False, repr=False)
    """The one value that satisfies the condition, where it is a plain string; lets the index use a dictionary."""
    _holds: Any = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        only_exact = self.match.model_fields_set == {"exact"}
        object.__setattr__(self, "name", self.name.lower() if self.kind == "header" else self.name)
        object.__setattr__(self, "exact", self.match.exact if only_exact else None)
        object.__setattr__(self, "_holds", self.match.compiled())

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether the condition holds for any value, or for none being there."""
        values = values_of(facts, self.kind, self.name)
        if self.exact is not None:
            return self.exact in values
        holds = self._holds
        if not values:
            return bool(holds(None))
        return any(map(holds, values))

    def describe(self) -> str:
        """Return ``header x-team is 'users'`` or ``cookie plan: prefix 'pro'``."""
        if self.exact is not None:
            return f"{self.kind} {self.name} is {self.exact!r}"
        return f"{self.kind} {self.name}: {self.match}"
