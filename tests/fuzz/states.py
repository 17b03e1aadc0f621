"""Random states of pools: servers that are down, ejected, drained, full, tripped or starting."""

from __future__ import annotations

import random

from tests.fuzz.serving import Served

__all__ = ["disturb"]


def disturb(served: Served, draw: random.Random) -> None:
    """Change something about the servers of a pool."""
    kind = draw.choice(
        [
            "down",
            "up",
            "ejected",
            "drain",
            "undrain",
            "begin",
            "fill",
            "fill",
            "end",
            "fails",
            "trial",
            "trial",
            "later",
            "weight",
        ]
    )
    pools = [*served.snapshot.pools.values()]
    if kind == "trial":  # whose breaker was opened by what fails, and is half-open by now
        pools = [pool for pool in pools if getattr(pool, "breaker", None) is not None] or pools
    elif kind == "fill" and draw.random() < 0.5:
        pools = [served.snapshot.pools["queued"]]
    pool = draw.choice(pools)
    server = draw.choice(pool.servers)
    if kind in ("down", "up"):
        server.healthy = kind == "up"
        server.reason = "" if server.healthy else "so it was decided"
    elif kind == "ejected":
        server.ejected_until = served.clock.seconds() + 10.0
    elif kind == "drain":
        server.drain()
    elif kind == "undrain":
        server.undrain()
    elif kind == "begin":
        pool.begin(server)
    elif kind == "fill":
        for each in pool.servers:
            while not each.full and each.active < 2:
                pool.begin(each)
    elif kind == "end" and server.active:
        pool.end(server, 0.001, True)
    elif kind in ("fails", "trial"):
        for _ in range(3):
            pool.begin(server)
            pool.end(server, 0.001, False, False, 503)
        if kind == "trial":
            served.clock.advance(5.5)
            pool.begin(server)
    elif kind == "weight":
        pool.set_weight(server, draw.choice([0, 1, 3]))
    elif kind == "later":
        served.clock.advance(draw.choice([0.5, 7.0, 61.0]))
    pool.refresh()
