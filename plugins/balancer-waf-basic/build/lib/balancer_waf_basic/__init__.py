"""First WAF checks for balancer."""

from __future__ import annotations

from collections.abc import Iterable

from balancer.hooks import hookimpl
from balancer.hooks.interfaces import Factory, IFactory
from balancer_waf_basic.check import PatternCheck, PatternSettings
from balancer_waf_basic.rules import RULES


@hookimpl
def balancer_checks() -> Iterable[IFactory]:
    """``checks: [sqli, xss, path_traversal, command_injection]``."""
    return [
        Factory(name, lambda settings, name=name: PatternCheck(name, RULES[name], settings), PatternSettings)
        for name in RULES
    ]  # type: ignore[misc]
