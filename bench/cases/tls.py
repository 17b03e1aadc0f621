"""TLS with clients: requests on kept connections in HTTP/1.1 and HTTP/2, and handshakes. Servers get plain HTTP/1.1."""

from __future__ import annotations

from functools import partial

from bench.cases.case import Case, Figures, Running

__all__ = ["CASES"]


def _requests(connections: int, streams: int, running: Running) -> Figures:
    port, load = running.place.https, running.load
    load.https(port, 0.5, connections, streams)
    before = running.used()
    found = load.https(port, running.seconds, connections, streams)
    spent = running.used() - before
    return {
        "µs/request": spent.total * 1e6 / max(1, found["requests"]),
        "requests/s": found["requests"] / found["seconds"],
        "PSS MB": running.memory() / 1e6,
        "failed": found["failed"],
    }


def _handshakes(resumed: bool, running: Running) -> Figures:
    port, load = running.place.https, running.load
    load.https(port, 0.3, 4)
    before = running.used()
    found = load.handshakes(port, running.seconds, resumed)
    spent = running.used() - before
    return {
        "µs/connection": spent.total * 1e6 / max(1, found["connections"]),
        "connections/s": found["connections"] / found["seconds"],
        "failed": found["failed"],
    }


CASES = (
    Case("https get", partial(_requests, 64, 0), ("µs/request",), needs="https", in_quick=True),
    Case("https new", partial(_handshakes, False), ("µs/connection",), needs="https"),
    Case("https resumed", partial(_handshakes, True), ("µs/connection",), needs="https"),
    Case("h2 get, 4 x 100", partial(_requests, 4, 100), ("µs/request",), needs="https", in_quick=True),
    Case("h2 get, 64 x 1", partial(_requests, 64, 1), ("µs/request",), needs="https"),
)
