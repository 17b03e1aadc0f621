"""The metrics that a master serves: what its workers have counted, summed, and what it knows of them itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from twisted.internet.defer import Deferred

from balancer.observe.metrics import Metrics, counter, gauge
from balancer.service.workers.crew import Crew
from balancer.service.workers.ledger import Ledger, plain

__all__ = ["SummedMetrics"]

_OWN = -1
"""The master in the ledger."""


class SummedMetrics(Collector):
    """A Prometheus collector over all processes.

    Args:
        own: what the master counts: reloads.
        gather: notes in the ledger what workers have counted; fires when all have answered, or will not.
    """

    def __init__(self, own: Metrics, gather: Callable[[], Deferred[None]]) -> None:
        self.ledger = Ledger()
        self._own = own
        self._gather = gather
        self.crew: Crew | None = None
        """The workers, once there are any."""
        self._registry = CollectorRegistry(auto_describe=False)
        for standard in (ProcessCollector, PlatformCollector, GCCollector):
            standard(registry=self._registry)
        self._registry.register(self)

    def describe(self) -> list[Metric]:
        """Part of the interface: nothing is known before somebody asks."""
        return []

    def text(self) -> Deferred[bytes]:
        """Return everything in Prometheus' text format."""
        return self._gather().addCallback(lambda _: generate_latest(self._registry))

    def gathered(self) -> Deferred[Iterable[Metric]]:
        """Return what all workers, there are or were, have counted."""
        return self._gather().addCallback(lambda _: list(self.ledger.metrics()))

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family; called by prometheus_client."""
        self.ledger.note(_OWN, plain(self._own.collect()))
        yield from self.ledger.metrics()
        crew = self.crew
        if crew is None:
            return
        up = gauge("worker_up", "1 while the worker serves.", ("worker",))
        processor = counter("worker_cpu_seconds", "Processor time of the worker that there is now.", ("worker",))
        memory = gauge("worker_resident_memory_bytes", "Resident memory of the worker.", ("worker",))
        for worker in crew.all:
            if worker.number < crew.wanted and worker.state not in ("stopping", "gone"):
                label = (str(worker.number + 1),)
                up.add_metric(label, int(worker.state == "ready"))
                used = _used(worker.pid)
                if used is not None:
                    processor.add_metric(label, used[0])
                    memory.add_metric(label, used[1])
        restarts = counter("worker_restarts", "Workers that died and were replaced.", ())
        restarts.add_metric((), crew.restarts)
        yield from (up, processor, memory, restarts)


def _used(pid: int) -> tuple[float, int] | None:
    """Return the processor time in seconds and the resident memory in bytes of a process, if the system tells."""
    try:
        fields: Any = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return (
            (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
            int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        )
    except (OSError, IndexError, ValueError):
        return None
