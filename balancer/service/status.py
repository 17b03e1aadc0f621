"""The state of a running service as plain values: what the admin API and the start-up summary show."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from balancer.config.pools import Pool as PoolSettings
from balancer.model.units import format_duration
from balancer.pools.findings import findings
from balancer.pools.pool import Pool
from balancer.pools.server import Server
from balancer.service.certificates import certificate_report
from balancer.service.http2 import http2_library
from balancer.service.listening import Listeners
from balancer.service.snapshot import Snapshot
from balancer.tls.choosing import library_in_use
from balancer.tls.shelf import Shelf
from balancer.wire.http2.sessions import description

__all__ = ["libraries", "outline_of", "status_of"]


def libraries() -> dict[str, str]:
    """Return the libraries that do TLS and the framing of HTTP/2 in this process, with their versions."""
    tls = library_in_use()
    return {"tls": f"{tls.version} ({tls.name})", "http2": description()}


def status_of(snapshot: Snapshot, listeners: Listeners) -> dict[str, Any]:
    """Return listeners, pools, servers and plug-in packages."""
    found = outline_of(snapshot, {listener.name: listener.addresses for listener in listeners}.__getitem__)
    gates = {listener.name: listener.gate for listener in listeners}
    for listener in found["listeners"]:
        gate = gates[listener["name"]]
        listener["connections"] = gate.active
        listener["refused"] = gate.refused + gate.refused_client
    for pool in found["pools"]:
        pool["findings"] = [{"worker": "", **each} for each in findings(snapshot.pools[pool["name"]])]
    return found


def outline_of(snapshot: Snapshot, addresses: Callable[[str], Sequence[str]]) -> dict[str, Any]:
    """Return the same with no connections; ``addresses`` returns where a listener listens."""
    config = snapshot.config
    return {
        "listeners": [
            {
                "name": name,
                "protocol": listener.protocol,
                "addresses": list(addresses(name)),
                "routes": len(listener.routes),
                "http2": http2_library(listener),
                "connections": 0,
                "refused": 0,
                **_certificates(snapshot, name),
            }
            for name, listener in config.listeners.items()
        ],
        "pools": [
            _pool(pool, config.pools[name]) | _broken(snapshot.pool_shelves.get(name))
            for name, pool in snapshot.pools.items()
        ],
        "packages": [package for package in snapshot.registry.report() if not package.get("builtin")],
    }


def _certificates(snapshot: Snapshot, listener: str) -> dict[str, Any]:
    """Return what there is to say of a listener's certificates; nothing where it speaks no TLS."""
    shelf = snapshot.shelves.get(listener)
    if shelf is None:
        return {}
    return {
        "tls": library_in_use().version,
        "certificates": certificate_report(shelf, time.time()),
        "broken_files": shelf.complaints,
    }


def _broken(shelf: Shelf | None) -> dict[str, Any]:
    return {} if shelf is None else {"broken_files": shelf.complaints}


def _pool(pool: Pool, settings: PoolSettings) -> dict[str, Any]:
    health = settings.health
    return {
        "name": pool.name,
        "algorithm": settings.algorithm.name,
        "health": f"{health.probe.name} every {format_duration(health.interval)}"
        if health is not None
        else "passive only"
        if settings.passive is not None
        else "none",
        "protocol": settings.spoken,
        "barred": pool.barred(),
        "breaker": _breaker(settings),
        "passive": _passive(settings),
        "findings": [],
        "servers": [
            {
                "name": server.name,
                "address": str(server.address),
                "state": server.state,
                "draining": server.draining,
                "disabled": server.disabled,
                "weight": server.full_weight,
                "active": server.active,
                "idle": len(server.idle),
                "http1_connections": server.connections["http1"],
                "h2_connections": server.connections["h2"],
                "streams": server.shared.in_flight if server.shared is not None else 0,
                "requests": server.requests,
                "failures": server.failures,
                "reason": _reason(server),
            }
            for server in pool.servers
        ],
    }


def _reason(server: Server) -> str:
    reason = server.tripped or server.reason
    if not server.disabled:
        return reason
    return " and ".join(["by hand", *([f"{server.condition}: {reason}"] if reason else [])])


def _breaker(settings: PoolSettings) -> str:
    """Return whose breakers there are: ``server``, ``pool``, or nothing."""
    trip = None if settings.breaker is None else settings.breaker.trip
    return "" if trip is None else str(trip.of)


def _passive(settings: PoolSettings) -> list[str]:
    """Return by what servers are found to fail."""
    passive = settings.passive
    if passive is None:
        return []
    more = {
        "consecutive_5xx": passive.consecutive_5xx,
        "success_rate": passive.success_rate,
        "latency": passive.latency,
    }
    return ["failures", *(kind for kind, wanted in more.items() if wanted is not None)]
