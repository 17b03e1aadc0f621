"""From the configuration's pools to living ones: plug-ins built, settings handed over as plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from balancer.config.pools import Pool as PoolSettings
from balancer.config.pools import Sticky as StickySettings
from balancer.model.keys import Key
from balancer.pools.circuit import TripSettings
from balancer.pools.concurrency import ConcurrencySettings
from balancer.pools.deviation import Deviation
from balancer.pools.events import Observer
from balancer.pools.guarded import GuardedPool
from balancer.pools.health import HealthSettings
from balancer.pools.idle import KeepAlive
from balancer.pools.introduction import Introduction
from balancer.pools.limits import LimitSettings
from balancer.pools.outliers import Passive
from balancer.pools.pool import Pool, PoolTimeouts
from balancer.pools.priority_queue import PrioritySettings
from balancer.pools.queue import QueueSettings
from balancer.pools.resolve import ResolveSettings
from balancer.pools.sections import Sections, SectionSettings
from balancer.pools.server import Server
from balancer.pools.shared import HTTP2Settings
from balancer.pools.slow_start import SlowStartSettings
from balancer.pools.sticky import Sticky, StickyCookie, StickyTable
from balancer.pools.subsets import Subsets, SubsetSettings
from balancer.pools.terms import Later
from balancer.service.terms import hedging, retry_settings, said_by_pool

__all__ = ["built_pool"]


def built_pool(
    name: str,
    settings: PoolSettings,
    algorithm: Any,
    probe: Any,
    clock: Any,
    draw: Any,
    secret: str,
    observer: Observer,
    encryption: Any = None,
    later: Later | None = None,
    *,
    another: Callable[[], Any],
    queueing: bool = False,
) -> Pool:
    """Return the pool, not started.

    ``algorithm`` and ``probe`` are built, ``secret`` signs sticky cookies, ``encryption`` is how TLS is spoken with its servers,
    ``later`` calls what is due within less than a second, ``another`` makes one more algorithm like that, ``queueing`` says that routes
    have their own priorities in the queue.
    """
    keep_alive = KeepAlive(settings.keep_alive.size, settings.keep_alive.idle, settings.keep_alive.max_age)
    ping = settings.http2.ping
    http2 = HTTP2Settings(settings.http2.streams, *((ping.interval, ping.timeout) if ping is not None else (0.0, 0.0)))
    servers = [
        Server(
            server.address,
            server.name,
            weight=server.weight,
            backup=server.backup,
            max_connections=server.max_connections,
            keep_alive=keep_alive,
            protocol=settings.spoken,
            http2=http2,
        )
        for server in settings.servers
    ]
    for server, written in zip(servers, settings.servers, strict=True):
        server.encryption = encryption
        server.priority, server.zone, server.labels = written.priority, written.zone, written.labels
    told = settings.proxy_protocol
    health, passive, timeouts = settings.health, _passive(settings), settings.timeouts
    policies = _policies(settings)
    queue = settings.queue
    if queueing or queue.priority is not None or queue.deadline is not None:
        policies["priorities"] = PrioritySettings(queue.priority, queue.deadline, queue.default_priority)
    sectioned = _is_sectioned(settings)
    where = SectionSettings(settings.locality.overprovisioning, settings.locality.zone)
    if sectioned:
        algorithm = policies["sections"] = Sections(where, algorithm, another)
    subset = settings.subset
    if subset is not None:
        wanted = SubsetSettings(subset.by, subset.sources, subset.default, subset.fallback)
        policies["subsets"] = Subsets(wanted, (lambda: Sections(where, another(), another)) if sectioned else another)
    made = GuardedPool if policies or (passive is not None and passive.watches_all) else Pool
    pool = made(
        name,
        servers,
        algorithm,
        clock=clock,
        draw=draw,
        observer=observer,
        panic=settings.panic,
        probe=probe,
        health=HealthSettings(health.interval, health.timeout, health.rise, health.fall, health.jitter)
        if health is not None
        else None,
        passive=passive,
        sticky=_sticky(name, settings.sticky, clock, secret) if settings.sticky is not None else None,
        timeouts=PoolTimeouts(**timeouts.model_dump()),
        retry=retry_settings(settings.retry),
        queue=QueueSettings(settings.queue.size, settings.queue.timeout),
        resolve=ResolveSettings(settings.resolve.interval),
        introduction=Introduction(told.version, frozenset(told.tlvs), told.crc32c) if told is not None else None,
        **policies,
    )
    terms = pool.terms if later is None else replace(pool.terms, later=later)
    pool.terms = replace(terms, hedge=hedging(settings.hedge, clock.seconds), said=said_by_pool(settings))
    return pool


def _passive(settings: PoolSettings) -> Passive | None:
    passive = settings.passive
    if passive is None:
        return None
    rate, latency = passive.success_rate, passive.latency
    return Passive(
        passive.failures,
        passive.window,
        passive.eject,
        passive.max_ejected,
        passive.max_eject,
        passive.consecutive_5xx,
        Deviation(**dict(rate)) if rate is not None else None,
        Deviation(**dict(latency)) if latency is not None else None,
        passive.interval,
        dict(passive.enforce),
    )


def _is_sectioned(settings: PoolSettings) -> bool:
    zone = settings.locality.zone
    if len({server.priority for server in settings.servers}) > 1:
        return True
    return bool(zone) and len({server.zone == zone for server in settings.servers}) > 1


def _policies(settings: PoolSettings) -> dict[str, Any]:
    """Return what a guarded pool is made with; nothing where none is wanted."""
    found: dict[str, Any] = {}
    if settings.concurrency is not None:
        found["concurrency"] = ConcurrencySettings(**dict(settings.concurrency))
    slow = settings.slow_start
    if slow is not None:
        found["slow_start"] = SlowStartSettings(slow.window, slow.minimum, slow.aggression)
    breaker = settings.breaker
    if breaker is not None:
        found["limits"] = LimitSettings(breaker.connections, breaker.pending, breaker.requests, breaker.retries)
        if breaker.trip is not None:
            found["trip"] = TripSettings(**dict(breaker.trip))
    return found


def _sticky(pool: str, settings: StickySettings, clock: Any, secret: str) -> Sticky:
    cookie = settings.cookie
    if cookie is not None:
        return StickyCookie(
            secret.encode(),
            pool,
            cookie.name,
            ttl=cookie.ttl,
            path=cookie.path,
            secure=cookie.secure,
            same_site=cookie.same_site,
        )
    key = Key("header", settings.header.name) if settings.header is not None else Key("client_ip")
    return StickyTable(key, clock.seconds)
