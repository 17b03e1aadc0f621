"""Calls of gRPC: unary ones, a message of 100 bytes each way, over TLS with clients and HTTP/2 without TLS with the server."""

from __future__ import annotations

from functools import partial

from bench.cases.case import Case, Figures, Running

__all__ = ["CASES"]


def _unary(connections: int, streams: int, running: Running) -> Figures:
    port, load = running.place.https, running.load
    load.calls(port, 0.5, connections, streams, 100)
    before = running.used()
    found = load.calls(port, running.seconds, connections, streams, 100)
    spent = running.used() - before
    return {
        "µs/call": spent.total * 1e6 / max(1, found["requests"]),
        "calls/s": found["requests"] / found["seconds"],
        "PSS MB": running.memory() / 1e6,
        "failed": found["failed"],
    }


CASES = (
    Case("grpc unary, 4 x 100", partial(_unary, 4, 100), ("µs/call",), needs="grpc", in_quick=True),
    Case("grpc unary, 64 x 1", partial(_unary, 64, 1), ("µs/call",), needs="grpc"),
)
