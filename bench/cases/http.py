"""HTTP: requests on kept and on new connections, large bodies, many routes."""

from __future__ import annotations

from functools import partial

from bench.cases.case import Case, Figures, Running

__all__ = ["CASES"]

_KIB, _MIB = 1024, 1024 * 1024


def _get(running: Running) -> Figures:
    """CPU per request at full speed, then latency and CPU at a rate that all can keep up with."""
    port, load = running.place.http, running.load
    running.warm()
    before = running.used()
    fast = load.http(port, running.seconds, 64)
    spent = running.used() - before
    before = running.used()
    steady = load.http(port, running.seconds, 64, rate=running.rate)
    spent_steady = running.used() - before
    each = 1e6 / max(1, fast["requests"])
    return {
        "µs/request": spent.total * each,
        "user µs": spent.user * each,
        "system µs": spent.system * each,
        "requests/s": fast["requests"] / fast["seconds"],
        "µs/request at the rate": spent_steady.total * 1e6 / max(1, steady["requests"]),
        "p50 ms": steady["p50"],
        "p99 ms": steady["p99"],
        "p99.9 ms": steady["p99.9"],
        "PSS MB": running.memory() / 1e6,
        "failed": fast["failed"] + steady["failed"],
    }


def _new_connections(running: Running) -> Figures:
    running.warm()
    before = running.used()
    found = running.load.http(running.place.http, running.seconds, 64, close=True)
    spent = running.used() - before
    return {
        "µs/request": spent.total * 1e6 / max(1, found["requests"]),
        "requests/s": found["requests"] / found["seconds"],
        "failed": found["failed"],
    }


def _bodies(size: int, upload: bool, running: Running) -> Figures:
    port, load, connections = running.place.http, running.load, 4 if size >= _MIB else 16
    path = "/" if upload else f"/{size}"
    body = size if upload else 0
    load.http(port, 0.3, connections, path=path, body=body)
    before = running.used()
    found = load.http(port, running.seconds, connections, path=path, body=body)
    spent = running.used() - before
    moved = max(1, found["requests"]) * size
    return {
        "s/GB": spent.total / moved * 1e9,
        "GB/s": moved / found["seconds"] / 1e9,
        "PSS MB": running.memory() / 1e6,
        "failed": found["failed"],
    }


def _routes(count: int, running: Running) -> Figures:
    running.warm(paths=count)
    before = running.used()
    found = running.load.http(running.place.http, running.seconds, 64, paths=count)
    spent = running.used() - before
    return {
        "µs/request": spent.total * 1e6 / max(1, found["requests"]),
        "requests/s": found["requests"] / found["seconds"],
        "PSS MB": running.memory() / 1e6,
        "start s": running.startup,
        "failed": found["failed"],
    }


CASES = (
    Case("http get", _get, ("µs/request", "p50 ms", "p99 ms", "p99.9 ms", "PSS MB"), in_quick=True),
    Case("http new connection", _new_connections, ("µs/request",), in_quick=True),
    Case("http 100 KiB down", partial(_bodies, 100 * _KIB, False), ("s/GB",), in_quick=True),
    Case("http 100 KiB up", partial(_bodies, 100 * _KIB, True), ("s/GB",)),
    Case("http 10 MiB down", partial(_bodies, 10 * _MIB, False), ("s/GB",)),
    Case("http 10 MiB up", partial(_bodies, 10 * _MIB, True), ("s/GB",)),
    Case("http 10 routes", partial(_routes, 10), ("µs/request",), routes=10),
    Case("http 1,000 routes", partial(_routes, 1000), ("µs/request",), routes=1000),
    Case(
        "http 100,000 routes",
        partial(_routes, 100_000),
        ("µs/request", "PSS MB", "start s"),
        routes=100_000,
        patience=180,
    ),
)
