"""Which servers of a pool take new clients: a pure look at what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from balancer.pools.server import Server

__all__ = ["eligible"]


def eligible(servers: Sequence[Server], panic: bool) -> tuple[list[Server], bool]:
    """Return the servers that may be used, and whether that is in panic.

    Backups may be used only while no other can be. Where none is well, and ``panic`` is allowed, all are used that are not kept out
    by an operator, their breaker or want of an address.
    """
    fresh = [server for server in servers if server.state == "up" and server.weight > 0]
    if fresh or not panic:
        return [server for server in fresh if not server.backup] or fresh, False
    left = [server for server in servers if server.may_panic]
    return [server for server in left if not server.backup] or left, bool(left)
