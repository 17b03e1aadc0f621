"""How servers are doing, as plain values: what one process has found out or was told, for others to go by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from balancer.model.address import Address
from balancer.pools.pool import Pool
from balancer.pools.server import Server

__all__ = ["state_of", "take_over"]


def state_of(pool: Pool, servers: Iterable[Server] | None = None) -> list[dict[str, Any]]:
    """Return the state of ``servers`` of ``pool``, by default of all; what traffic has told (ejections, breakers) is no part of it."""
    return [
        {
            "pool": pool.name,
            "name": server.name,
            "address": str(server.address),
            "healthy": server.healthy,
            "reason": "" if server.up else server.reason,
            "endpoints": [[each.host, each.port, each.path] for each in server.endpoints],
            "weight": server.full_weight,
            "written": server.written,
            "draining": server.draining,
            "disabled": server.disabled,
        }
        for server in (pool.servers if servers is None else servers)
    ]


def take_over(pools: Mapping[str, Pool], state: Iterable[dict[str, Any]]) -> None:
    """Let ``pools`` go by ``state``; what they do not have is passed over, and so are weights set by hand where the file has another now."""
    for told in state:
        pool = pools.get(told["pool"])
        for server in () if pool is None else pool.servers:
            if server.name == told["name"] and str(server.address) == told["address"]:
                assert pool is not None
                if told["written"] == server.written:
                    server.weight = server.full_weight = told["weight"]
                server.draining = told["draining"]
                (server.disable if told["disabled"] else server.enable)()
                endpoints = tuple(Address(*each) for each in told["endpoints"])
                pool.tell(server, told["healthy"], told["reason"], endpoints)
