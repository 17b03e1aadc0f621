"""What exchanges came to, by listener, route and pool: read off the metrics, be they of one process or summed over all."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.metrics_core import Metric

from balancer.routing.canary import NOTHING, Tally

__all__ = ["tallies"]

_FAULTS = frozenset(["2", "4", "12", "13", "14", "15", "other"])
"""Statuses of gRPC that speak of the server: unknown, deadline exceeded, unimplemented, internal, unavailable, data loss."""

Where = tuple[str, str, str]


def tallies(metrics: Iterable[Metric]) -> dict[Where, Tally]:
    """Return what has been counted since the start; a call of gRPC that failed counts as an error, whatever its HTTP status."""
    requests: dict[Where, int] = {}
    errors: dict[Where, int] = {}
    within: dict[Where, dict[float, int]] = {}
    for metric in metrics:
        for sample in metric.samples if metric.name in _NAMES else ():
            labels, count = sample.labels, int(sample.value)
            where = (labels["listener"], labels["route"], labels["pool"])
            if sample.name == "balancer_http_requests_total":
                requests[where] = requests.get(where, 0) + count
                if labels["status"] == "5xx":
                    errors[where] = errors.get(where, 0) + count
            elif sample.name == "balancer_grpc_calls_total":
                if labels["code"] in _FAULTS:
                    errors[where] = errors.get(where, 0) + count
            elif sample.name.endswith("_bucket"):
                within.setdefault(where, {})[float(labels["le"])] = count
    return {
        where: Tally(count, min(count, errors.get(where, 0)), within.get(where, NOTHING.within))
        for where, count in requests.items()
    }


_NAMES = frozenset(["balancer_http_requests", "balancer_grpc_calls", "balancer_http_request_duration_seconds"])
