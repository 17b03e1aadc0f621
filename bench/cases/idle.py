"""Kept connections that ask for nothing: what each costs in memory, and whether requests on others get dearer."""

from __future__ import annotations

from functools import partial

from bench.cases.case import Case, Figures, Running

__all__ = ["CASES"]


def _idle(count: int, running: Running) -> Figures:
    port, load = running.place.http, running.load
    running.warm()
    closed: list[float] = []
    alone = running.memory()
    with load.held(port, count, closed):
        crowded = running.memory()
        before = running.used()
        found = load.http(port, running.seconds, 64)
        spent = running.used() - before
    return {
        "KB/connection": (crowded - alone) / count / 1e3,
        "µs/request": spent.total * 1e6 / max(1, found["requests"]),
        "PSS MB": crowded / 1e6,
        "failed": found["failed"] + sum(closed),
    }


CASES = tuple(
    Case(f"http {count:,} idle", partial(_idle, count), ("KB/connection", "µs/request"), patience=30)
    for count in (1000, 10_000)
)
