"""The algorithms that come with the balancer, registered as a plug-in's would be."""

from __future__ import annotations

from collections.abc import Iterable

from balancer.hooks import hookimpl
from balancer.hooks.interfaces import Factory, IFactory
from balancer.pools.algorithms.ewma import Ewma, EwmaSettings
from balancer.pools.algorithms.hashing import BoundedSettings
from balancer.pools.algorithms.ip_hash import IPHash
from balancer.pools.algorithms.least_conn import LeastConn
from balancer.pools.algorithms.maglev import Maglev, MaglevSettings
from balancer.pools.algorithms.p2c import P2C
from balancer.pools.algorithms.random_choice import RandomChoice
from balancer.pools.algorithms.rendezvous import Rendezvous
from balancer.pools.algorithms.ring_hash import RingHash, RingHashSettings
from balancer.pools.algorithms.round_robin import RoundRobin


@hookimpl
def balancer_algorithms() -> Iterable[IFactory]:
    """Return the factories of the built-in algorithms."""
    return [
        Factory("ewma", Ewma, EwmaSettings),
        Factory("ip_hash", lambda _: IPHash()),
        Factory("least_conn", lambda _: LeastConn()),
        Factory("maglev", Maglev, MaglevSettings),
        Factory("p2c", lambda _: P2C()),
        Factory("random", lambda _: RandomChoice()),
        Factory("rendezvous", Rendezvous, BoundedSettings),
        Factory("ring_hash", RingHash, RingHashSettings),
        Factory("round_robin", lambda _: RoundRobin()),
    ]
