"""From the configuration's pools to living ones: plug-ins built, settings handed over as plain values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from balancer.config.pools import Pool as PoolSettings
from balancer.config.pools import Sticky as StickySettings
from balancer.model.keys import Key
from balancer.pools.events import Observer
from balancer.pools.health import HealthSettings
from balancer.pools.idle import KeepAlive
from balancer.pools.introduction import Introduction
from balancer.pools.outliers import Passive
from balancer.pools.pool import Pool, PoolTimeouts
from balancer.pools.queue import QueueSettings
from balancer.pools.resolve import ResolveSettings
from balancer.pools.server import Server
from balancer.pools.shared import HTTP2Settings
from balancer.pools.sticky import Sticky, StickyCookie, StickyTable
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
) -> Pool:
    """Return the pool, not started.

    ``algorithm`` and ``probe`` are built, ``secret`` signs sticky cookies, ``encryption`` is how TLS is spoken with its servers,
    ``later`` calls what is due within less than a second.
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
    for server in servers:
        server.encryption = encryption
    told = settings.proxy_protocol
    health, passive, timeouts = settings.health, settings.passive, settings.timeouts
    pool = Pool(
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
        passive=Passive(passive.failures, passive.window, passive.eject, passive.max_ejected)
        if passive is not None
        else None,
        sticky=_sticky(name, settings.sticky, clock, secret) if settings.sticky is not None else None,
        timeouts=PoolTimeouts(**timeouts.model_dump()),
        retry=retry_settings(settings.retry),
        queue=QueueSettings(settings.queue.size, settings.queue.timeout),
        resolve=ResolveSettings(settings.resolve.interval),
        introduction=Introduction(told.version, frozenset(told.tlvs), told.crc32c) if told is not None else None,
        later=later,
    )
    pool.terms = replace(pool.terms, hedge=hedging(settings.hedge, clock.seconds), said=said_by_pool(settings))
    return pool


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
