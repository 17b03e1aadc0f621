"""The algorithm ``least_response_time`` for balancer."""

from __future__ import annotations

from collections.abc import Iterable

from balancer.hooks import hookimpl
from balancer.hooks.interfaces import Factory, IFactory
from balancer_least_response_time.algorithm import LeastResponseTime, LeastResponseTimeSettings


@hookimpl
def balancer_algorithms() -> Iterable[IFactory]:
    """``algorithm: least_response_time``."""
    return [Factory("least_response_time", LeastResponseTime, LeastResponseTimeSettings)]
