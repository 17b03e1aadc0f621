"""The built-in checks, offered through the same hook as a plug-in's."""

from __future__ import annotations

from collections.abc import Iterable

from balancer.checks.malformed import MALFORMED
from balancer.checks.request_limits import REQUEST_LIMITS
from balancer.hooks import hookimpl
from balancer.hooks.interfaces import IFactory

__all__ = ["balancer_checks"]


@hookimpl
def balancer_checks() -> Iterable[IFactory]:
    """Return the built-in checks."""
    return (MALFORMED, REQUEST_LIMITS)
