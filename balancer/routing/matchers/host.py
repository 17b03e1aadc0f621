"""Hosts: the pattern of a route as a condition, and how specific it is.

A wildcard ``*.example.org`` matches every name below ``example.org``, one or more labels deep, and never
``example.org`` itself (as in the Kubernetes Gateway API).
"""

from __future__ import annotations

from dataclasses import dataclass

from zope.interface import implementer

from balancer.hooks.interfaces import IMatcher
from balancer.model.facts import RequestFacts
from balancer.model.patterns import HostPattern

__all__ = ["HostMatcher", "host_matches", "host_precedence"]


def host_matches(pattern: HostPattern, host: str) -> bool:
    """Return whether ``host`` (lower case, no port) is one that ``pattern`` names."""
    if not pattern.wildcard:
        return host == pattern.name
    return host.endswith(f".{pattern.name}") and len(host) > len(pattern.name) + 1


def host_precedence(pattern: HostPattern | None) -> tuple[int, int]:
    """Return a sort key, most specific first: exact names, then wildcards by labels, then no pattern."""
    if pattern is None:
        return (2, 0)
    if not pattern.wildcard:
        return (0, 0)
    return (1, -pattern.name.count("."))


@implementer(IMatcher)
@dataclass(frozen=True, slots=True)
class HostMatcher:
    """Holds where the host is one of ``patterns``; used where the index cannot be, inside ``any`` and ``not``."""

    patterns: tuple[HostPattern, ...]

    def matches(self, facts: RequestFacts) -> bool:
        """Return whether the request's host is among the patterns."""
        host = facts.host
        return any(host_matches(pattern, host) for pattern in self.patterns)

    def describe(self) -> str:
        """Return ``host is a.example or *.b.example``."""
        return f"host is {' or '.join(map(str, self.patterns))}"
