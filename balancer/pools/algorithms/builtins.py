"""The algorithms that come with the balancer, registered as a plug-in's would be."""

from __future__ import annotations

from collections.abc import Iterable

from balancer.hooks import hookimpl
from balancer.hooks.interfaces import Factory, IFactory
from balancer.pools.algorithms.p2c import P2C
from balancer.pools.algorithms.round_robin import RoundRobin


@hookimpl
def balancer_algorithms() -> Iterable[IFactory]:
    """Return the factories of the built-in algorithms."""
    return [
        Factory("p2c", lambda settings: P2C()),
        Factory("round_robin", lambda settings: RoundRobin()),
    ]
