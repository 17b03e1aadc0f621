"""How servers are doing, as plain values: what one process has found out or was told, for others to go by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from balancer.model.address import Address
from balancer.pools.pool import Pool
from balancer.pools.server import Server

__all__ = ["state_of", "take_over"]


def state_of(pool: Pool, servers: Iterable[Server] | None = None) -> list[list[Any]]:
    """Return the state of ``servers`` of ``pool``, by default of all."""
    return [
        [
            pool.name,
            server.name,
            str(server.address),
            server.healthy,
            server.reason if server.state == "down" else "",
            [[each.host, each.port, each.path] for each in server.endpoints],
            server.full_weight,
            server.draining,
        ]
        for server in (pool.servers if servers is None else servers)
    ]


def take_over(pools: Mapping[str, Pool], state: Iterable[list[Any]], *, weights: bool = True) -> None:
    """Let ``pools`` go by ``state``, with its ``weights`` or their own; what they do not have is passed over."""
    for pool_name, name, address, healthy, reason, endpoints, weight, draining in state:
        pool = pools.get(pool_name)
        for server in () if pool is None else pool.servers:
            if server.name == name and str(server.address) == address:
                assert pool is not None
                if weights:
                    server.weight = server.full_weight = weight
                server.draining = draining
                pool.tell(server, healthy, reason, tuple(Address(*each) for each in endpoints))
