"""The metrics of what pools decide by themselves: limits, breakers, outliers, slow start, sections, adaptive limits, queues."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.metrics_core import Metric

from balancer.observe.metrics import counter, gauge
from balancer.pools.circuit import CircuitState
from balancer.pools.guarded import GuardedPool
from balancer.pools.outliers import KINDS
from balancer.pools.pool import Pool

__all__ = ["policy_metrics"]


def policy_metrics(pools: Mapping[str, Pool]) -> Iterator[Metric]:
    """Yield what is true now of each of ``pools`` that has policies."""
    active = gauge("pool_limit_active", "What there is of what the pool's breaker limits.", ("pool", "limit"))
    refused = counter("pool_limit_refused", "What was refused for being one too many.", ("pool", "limit"))
    opened = gauge(
        "breaker_open",
        "1 while the breaker is open or half-open; the pool's own has no server.",
        ("pool", "server"),
    )
    trips = counter("breaker_trips", "Times that a breaker has opened.", ("pool",))
    found = counter("outliers_found", "Times that a server was found to fail real traffic.", ("pool", "kind"))
    ejected = counter("outliers_ejected", "Times that it was ejected for that.", ("pool", "kind"))
    share = gauge(
        "server_share", "The share of its weight that the server has, below 1 while it starts.", ("pool", "server")
    )
    part = gauge(
        "pool_section_share",
        "The part of the traffic that servers of a priority, here or elsewhere, get.",
        ("pool", "section"),
    )
    unserved = counter(
        "queue_unserved",
        "Who got no server: the queue was full, it gave way to others, or its time was up.",
        ("pool", "reason"),
    )
    adaptive = gauge(
        "concurrency_limit",
        "The adaptive limit of what is in flight; the pool's own has no server.",
        ("pool", "server"),
    )
    for name, pool in pools.items():
        for reason in ("full", "shed", "timeout"):
            queue = pool.queue
            count = queue.refused if reason == "full" else queue.shed if reason == "shed" else queue.timed_out
            unserved.add_metric((name, reason), count)
        if pool.outliers is not None:
            for kind in KINDS:
                found.add_metric((name, kind), pool.outliers.found[kind])
                ejected.add_metric((name, kind), pool.outliers.ejected[kind])
        if not isinstance(pool, GuardedPool):
            continue
        for limit in pool.limits.all:
            if limit.most is not None:
                active.add_metric((name, limit.name), limit.active)
                refused.add_metric((name, limit.name), limit.refused)
        concurrency = pool.concurrency
        if concurrency is not None:
            if concurrency.settings.of == "pool":
                adaptive.add_metric((name, ""), concurrency.whole.limit)
            for server, gradient in concurrency.servers.items():
                adaptive.add_metric((name, server.name), gradient.limit)
        if pool.sections is not None:
            for section, load in pool.sections.parts():
                part.add_metric((name, section), load)
        if pool.slow_start is not None:
            for server in pool.servers:
                share.add_metric((name, server.name), pool.slow_start.share(server))
        breaker = pool.breaker
        if breaker is not None:
            trips.add_metric((name,), breaker.trips)
            for each in pool.servers if breaker.settings.of == "server" else (None,):
                state = breaker.circuit(each).state
                opened.add_metric((name, "" if each is None else each.name), int(state is not CircuitState.CLOSED))
    yield from (active, refused, opened, trips, found, ejected, share, part, adaptive, unserved)
