"""What an HTTP listener serves by: one immutable bundle out of a snapshot, swapped whole at reload.

A request keeps the site it began with, so that a reload never changes an exchange in flight.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from balancer.filters.trace import Debugging
from balancer.forwarding.headers import HeaderPolicy, TrustedPeers
from balancer.hooks.interfaces import IFilter
from balancer.listeners.proxied import ProxyPolicy
from balancer.listeners.shedding import NEVER, Shedding
from balancer.observe.records import ExchangeRecord
from balancer.routing.table import RouteTable
from balancer.tls.server_contexts import ServerContexts
from balancer.wire.http1.heads import HeadLimits
from balancer.wire.http1.repeats import Known
from balancer.wire.http2.interface import Limits

__all__ = ["HTTPTimeouts", "Site"]


_QUICK = 5.0
"""Seconds of a client's silence after which its connection is to take little memory."""


@dataclass(frozen=True, slots=True)
class HTTPTimeouts:
    """How long a client may take, in seconds.

    ``head``: from a request's first byte to the end of its head. ``body_idle``: between two pieces of its body.
    ``keep_alive``: between two requests, of which for ``quick`` seconds what makes a repeated request cheap is kept.
    ``idle``: without a byte in a tunnel (WebSocket).
    """

    head: float = 10.0
    body_idle: float = 30.0
    keep_alive: float = 75.0
    idle: float = 300.0
    quick: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "quick", min(self.keep_alive, _QUICK))


@dataclass(frozen=True, slots=True)
class Site:
    """Everything a request of one listener is served by.

    ``observe`` takes the record of each exchange at its end; ``draw`` returns a float in [0, 1); ``new_id`` a request
    id; ``shedding`` says who is turned away; ``twisted_site`` is what mounted Twisted resources see as their site. ``body_size`` limits request bodies in
    bytes, None for no limit. ``tls`` is what is spoken TLS by, None where connections are plain; ``http2`` what clients may do
    that speak it, None where it is not spoken; ``proxied`` whose PROXY headers are taken, None: nobody's. ``proofs`` holds, by token, what authorities are
    to find that issue certificates: mostly nothing, and it changes while requests come. ``known`` is what need not be read again. ``debugging`` says whose requests are
    told what was decided about them, None: nobody's. ``wait`` returns a Deferred that fires after so many seconds.
    """

    listener: str
    table: RouteTable
    observe: Callable[[ExchangeRecord], None]
    draw: Callable[[], float]
    new_id: Callable[[], str]
    filters: tuple[IFilter, ...] = ()
    policy: HeaderPolicy = field(default_factory=lambda: HeaderPolicy(TrustedPeers()))
    limits: HeadLimits = field(default_factory=HeadLimits)
    known: Known = field(default_factory=Known)
    http2: Limits | None = field(default_factory=Limits)
    timeouts: HTTPTimeouts = field(default_factory=HTTPTimeouts)
    body_size: int | None = None
    twisted_site: Any = None
    shedding: Shedding = NEVER
    tls: ServerContexts | None = None
    proxied: ProxyPolicy | None = None
    proofs: Mapping[str, str] = field(default_factory=dict)
    debugging: Debugging | None = None
    now: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    wait: Callable[[float], Any] | None = None
