"""The metrics of all workers, as one: counters and histograms summed, also those of workers that are gone.

A worker that ends says its last numbers; of one that is killed the last that it was asked for are kept, so counters
never go back. Gauges are summed over the workers there are, except where a sum says nothing (:data:`_OTHERWISE`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client.metrics_core import Metric

from balancer.pools.server import STATES

__all__ = ["Ledger", "plain"]

_OTHERWISE: dict[str, Callable[[float, float], float]] = {
    "balancer_breaker_open": max,
    "balancer_pool_section_share": max,
    "balancer_server_share": min,
    "balancer_server_weight": max,
    "balancer_pool_panic": max,
    "balancer_plugin_tripped": max,
    "balancer_shedding_share": max,
    "balancer_server_state": max,
    "balancer_tls_certificate_expiry_timestamp_seconds": min,
    "balancer_tls_certificate_stapled": min,
    "balancer_tls_broken_files": max,
}

_Labels = tuple[tuple[str, str], ...]
_Samples = dict[tuple[str, _Labels], float]


class _Family:
    """One metric: its name, text and kind, its samples by name and labels."""

    def __init__(self, name: str, text: str, kind: str) -> None:
        self.name = name
        self.text = text
        self.kind = kind
        self.samples: _Samples = {}

    def add(self, samples: _Samples) -> None:
        """Take ``samples`` in."""
        combine = _OTHERWISE.get(self.name, float.__add__)
        mine = self.samples
        for key, value in samples.items():
            mine[key] = combine(mine[key], float(value)) if key in mine else float(value)


_Families = dict[str, _Family]


def plain(metrics: Iterable[Metric]) -> list[Any]:
    """Return metrics as plain values, to be sent."""
    return [
        [
            metric.name,
            metric.documentation,
            metric.type,
            [[each.name, each.labels, each.value] for each in metric.samples],
        ]
        for metric in metrics
    ]


class Ledger:
    """What every worker has counted."""

    def __init__(self) -> None:
        self._last: dict[int, _Families] = {}
        self._gone: _Families = {}

    def note(self, worker: int, metrics: list[Any]) -> None:
        """Take down what ``worker`` (a number that no other process has) says of itself, as made by :func:`plain`."""
        families: _Families = {}
        for name, text, kind, samples in metrics:
            family = families[name] = _Family(name, text, kind)
            family.add({(sample, tuple(sorted(labels.items()))): value for sample, labels, value in samples})
        self._last[worker] = families

    def close(self, worker: int) -> None:
        """``worker`` is gone: what it counted stays, its gauges go."""
        for name, family in self._last.pop(worker, {}).items():
            if family.kind != "gauge":
                self._into(self._gone, name, family)

    @staticmethod
    def _into(families: _Families, name: str, family: _Family) -> None:
        if name not in families:
            families[name] = _Family(family.name, family.text, family.kind)
        families[name].add(family.samples)

    def metrics(self) -> Iterator[Metric]:
        """Yield the metrics of all."""
        families: _Families = {}
        for each in (self._gone, *self._last.values()):
            for name, family in each.items():
                self._into(families, name, family)
        for family in families.values():
            metric = Metric(family.name, family.text, family.kind)
            samples = _worst(family.samples) if family.name == "balancer_server_state" else family.samples
            for (name, labels), value in samples.items():
                metric.add_sample(name, dict(labels), value)
            yield metric


def _worst(samples: _Samples) -> _Samples:
    """Leave each server the worst of the states in which workers have it."""
    found: _Samples = {}
    decided: set[tuple[tuple[str, str], ...]] = set()
    for state in STATES:
        for (name, labels), value in samples.items():
            if dict(labels)["state"] == state:
                server = tuple(each for each in labels if each[0] != "state")
                counts = value > 0 and server not in decided
                found[name, labels] = float(counts)
                if counts:
                    decided.add(server)
    return found
