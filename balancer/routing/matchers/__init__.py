"""One file a kind of condition; each matcher is a frozen value with ``matches(facts)`` and ``describe()``.

Host and path are matched by the index and appear here for use inside ``all``, ``any`` and ``not``.
"""

from __future__ import annotations

from balancer.routing.matchers.client import ClientMatcher, Networks
from balancer.routing.matchers.fields import FieldMatcher
from balancer.routing.matchers.host import HostMatcher
from balancer.routing.matchers.method import MethodMatcher
from balancer.routing.matchers.nested import AllMatcher, AnyMatcher, NotMatcher
from balancer.routing.matchers.path import CompiledPath, PathMatcher
from balancer.routing.matchers.scheme import SchemeMatcher

__all__ = [
    "AllMatcher",
    "AnyMatcher",
    "ClientMatcher",
    "CompiledPath",
    "FieldMatcher",
    "HostMatcher",
    "MethodMatcher",
    "Networks",
    "NotMatcher",
    "PathMatcher",
    "SchemeMatcher",
]
