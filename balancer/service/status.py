"""The state of a running service as plain values: what the admin API and the start-up summary show."""

from __future__ import annotations

from typing import Any

from balancer.config.pools import Pool as PoolSettings
from balancer.model.units import format_duration
from balancer.pools.pool import Pool
from balancer.service.listening import Listeners
from balancer.service.snapshot import Snapshot

__all__ = ["status_of"]


def status_of(snapshot: Snapshot, listeners: Listeners) -> dict[str, Any]:
    """Return listeners, pools, servers and plug-in packages."""
    config = snapshot.config
    return {
        "listeners": [
            {
                "name": listener.name,
                "protocol": config.listeners[listener.name].protocol,
                "addresses": list(listener.addresses),
                "routes": len(config.listeners[listener.name].routes),
                "connections": listener.gate.active,
                "refused": listener.gate.refused + listener.gate.refused_client,
            }
            for listener in listeners
        ],
        "pools": [_pool(pool, config.pools[name]) for name, pool in snapshot.pools.items()],
        "metrics": listeners.side_addresses("metrics"),
        "admin": listeners.side_addresses("admin"),
        "packages": [package for package in snapshot.registry.report() if not package.get("builtin")],
    }


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
        "servers": [
            {
                "name": server.name,
                "address": str(server.address),
                "state": server.state,
                "draining": server.draining,
                "weight": server.weight,
                "active": server.active,
                "idle": len(server.idle),
                "requests": server.requests,
                "failures": server.failures,
                "reason": server.reason,
            }
            for server in pool.servers
        ],
    }
