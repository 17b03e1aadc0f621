"""TCP streams, TCP connections, UDP packets."""

from __future__ import annotations

from functools import partial

from bench.cases.case import Case, Figures, Running

__all__ = ["CASES"]


def _stream(download: bool, running: Running) -> Figures:
    before = running.used()
    moved = running.load.stream(running.place.tcp, max(1, running.seconds), download)
    spent = running.used() - before
    return {"s/GB": spent.total / moved * 1e9, "GB/s": moved / max(1, running.seconds) / 1e9, "failed": 0}


def _connections(running: Running) -> Figures:
    port, load = running.place.tcp, running.load
    load.connections(port, 0.3, 32)
    before = running.used()
    found = load.connections(port, running.seconds, 32)
    spent = running.used() - before
    return {
        "µs/connection": spent.total * 1e6 / max(1, found["connections"]),
        "connections/s": found["connections"] / found["seconds"],
        "failed": found["failed"],
    }


def _datagrams(running: Running) -> Figures:
    """Packets of 100 bytes that come back; each counts once, though it went through the peer twice."""
    port, load = running.place.udp, running.load
    load.datagrams(port, 0.3, 16, 4, 100)
    before = running.used()
    found = load.datagrams(port, running.seconds, 16, 4, 100)
    spent = running.used() - before
    return {
        "µs/packet": spent.total * 1e6 / max(1, found["packets"]),
        "packets/s": found["packets"] / found["seconds"],
        "mean ms": found["mean"],
        "failed": found["failed"],
    }


CASES = (
    Case("tcp up", partial(_stream, False), ("s/GB",), needs="tcp", iperf=True),
    Case("tcp down", partial(_stream, True), ("s/GB",), needs="tcp", iperf=True, in_quick=True),
    Case("tcp connections", _connections, ("µs/connection",), needs="tcp"),
    Case("udp", _datagrams, ("µs/packet",), needs="udp", in_quick=True),
)
