"""What is allowed in a pool's policies and yet can have no effect: part of ``balancer check --lint``."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import TYPE_CHECKING

from balancer.config.routes import Route
from balancer.errors import Problem

if TYPE_CHECKING:
    from balancer.config.schema import Config

__all__ = ["pointless_policies"]


def pointless_policies(config: Config) -> Iterator[Problem]:
    """Yield settings of pools that decide nothing."""
    for name in config.pools:
        yield from _breaker(config, name)
        yield from _outliers(config, name)
        yield from _sections(config, name)
        yield from _subsets(config, name)
        if config.pools[name].slow_start is not None and len(config.pools[name].servers) == 1:
            message = "the pool has one server: nobody else can take what it is not given yet"
            yield config.problem(("pools", name, "slow_start"), message, "starts-alone")
        queue = config.pools[name].queue
        if not queue.size and (queue.priority is not None or queue.deadline is not None):
            message = "the queue has no room: there is nobody to go before"
            yield config.problem(("pools", name, "queue"), message, "idle-queue")
        elif "default_priority" in queue.model_fields_set and queue.priority is None:
            message = "no request says a priority ('priority'), and routes that say none all have this one"
            if not any(
                isinstance(route, Route) and route.queue for each in config.listeners.values() for route in each.routes
            ):
                yield config.problem(("pools", name, "queue", "default_priority"), message, "idle-queue")
        concurrency = config.pools[name].concurrency
        most = [server.max_connections for server in config.pools[name].servers]
        if concurrency is not None and concurrency.of == "server":
            if None not in most and max(each or 0 for each in most) <= concurrency.minimum:
                message = f"the servers' max_connections are no more than its minimum, {concurrency.minimum}, anyway"
                yield config.problem(("pools", name, "concurrency"), message, "limits-nothing")
    yield from _subsets_of_routes(config)


def _breaker(config: Config, name: str) -> Iterator[Problem]:
    pool = config.pools[name]
    breaker = pool.breaker
    if breaker is None:
        return
    place = ("pools", name, "breaker")
    limits = (breaker.connections, breaker.pending, breaker.requests, breaker.retries)
    if breaker.trip is None and limits == (None,) * 4:
        yield config.problem(place, "neither a limit nor 'trip': this breaker does nothing", "idle-breaker")
    if breaker.retries is not None and not pool.retry.attempts:
        yield config.problem((*place, "retries"), "'retry' is off: there are none to limit", "limits-nothing")
    most = [server.max_connections for server in pool.servers]
    if breaker.requests is not None and None not in most and sum(each or 0 for each in most) <= breaker.requests:
        message = f"the servers' max_connections allow no more than {breaker.requests} together anyway"
        yield config.problem((*place, "requests"), message, "limits-nothing")
    if breaker.trip is not None and breaker.trip.of == "server" and len(pool.servers) == 1 and pool.panic:
        message = "the only server of the pool: while its breaker is open every request is refused, panic or not"
        yield config.problem((*place, "trip"), message, "trips-everything")


def _outliers(config: Config, name: str) -> Iterator[Problem]:
    pool = config.pools[name]
    if pool.passive is None:
        return
    servers = len(pool.servers)
    place: tuple[str | int, ...] = ("pools", name, "passive")
    for kind, settings in (("success_rate", pool.passive.success_rate), ("latency", pool.passive.latency)):
        if settings is None:
            continue
        if settings.min_servers > servers or servers < 2:
            message = f"the pool has {servers} servers: fewer than are to be compared"
            yield config.problem((*place, kind), message, "compares-nothing")
        elif settings.stdevs >= sqrt(servers - 1):
            message = f"no server of {servers} can be {settings.stdevs:g} standard deviations away: at most {sqrt(servers - 1):.2f}"
            yield config.problem((*place, kind), message, "compares-nothing")
    if pool.passive.max_ejected * servers < 1.0 and "passive" in pool.model_fields_set:
        message = f"{pool.passive.max_ejected:.0%} of {servers} servers is none: nobody is ever ejected"
        yield config.problem(place, message, "ejects-nobody")


def _sections(config: Config, name: str) -> Iterator[Problem]:
    pool = config.pools[name]
    ours, zones = pool.locality.zone, {server.zone for server in pool.servers}
    place = ("pools", name, "locality", "zone")
    if ours and ours not in zones:
        yield config.problem(place, f"no server of the pool is in {ours!r}: no zone is preferred", "no-zone")
    elif ours and len(zones) == 1:
        yield config.problem(place, "every server is in this zone: there is nobody to prefer it to", "no-zone")
    elif not ours and zones != {""}:
        message = "servers have a 'zone', and 'locality' does not say which is ours: no zone is preferred"
        yield config.problem(("pools", name, "servers"), message, "no-zone")
    if (
        "overprovisioning" in pool.locality.model_fields_set
        and not ours
        and len({s.priority for s in pool.servers}) == 1
    ):
        message = "no zone, and one priority: there is nowhere to spill to"
        yield config.problem(("pools", name, "locality", "overprovisioning"), message, "spills-nothing")


def _subsets(config: Config, name: str) -> Iterator[Problem]:
    pool = config.pools[name]
    labels = {label for server in pool.servers for label in server.labels}
    if pool.subset is None:
        if labels:
            message = "servers have 'labels', and the pool no 'subset': they decide nothing"
            yield config.problem(("pools", name, "servers"), message, "idle-labels")
        return
    for at, label in enumerate(pool.subset.by):
        if label not in labels:
            message = f"no server has the label {label!r}: whoever asks for it gets the fallback"
            yield config.problem(("pools", name, "subset", "by", at), message, "no-label")


def _subsets_of_routes(config: Config) -> Iterator[Problem]:
    for name, listener in config.listeners.items():
        for at, route in enumerate(listener.routes):
            if not isinstance(route, Route) or not route.subset:
                continue
            place = ("listeners", name, "routes", at, "subset")
            known = [config.pools[each].subset for each in route.pools if each in config.pools]
            by = {label for subset in known if subset is not None for label in subset.by}
            for label in route.subset:
                if label not in by:
                    message = f"no pool of this route has subsets by {label!r}: it decides nothing"
                    yield config.problem((*place, label), message, "idle-labels")
