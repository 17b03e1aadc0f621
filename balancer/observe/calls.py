"""Metrics of gRPC: calls by how they ended. Services and methods are names that clients choose, so they are no labels."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, Metric

from balancer.observe.records import ExchangeRecord

__all__ = ["CallMeter"]

_LABELS = ("listener", "route", "pool", "server", "code")
_MOST = 16
"""The highest status there is; what a server makes up beyond it counts as one."""


class CallMeter:
    """Counts calls."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str, str, int], int] = {}

    def count(self, record: ExchangeRecord) -> None:
        """Count a call that has ended."""
        code = min(record.grpc_status, _MOST + 1)
        key = (record.listener, record.route, record.pool, record.server, code)
        self._counts[key] = self._counts.get(key, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """Yield the metric family."""
        calls = CounterMetricFamily("balancer_grpc_calls", "Finished calls of gRPC, by their status.", labels=_LABELS)
        for (*where, code), count in self._counts.items():
            calls.add_metric([*where, str(code) if code <= _MOST else "other"], count)
        yield calls
