"""What a master can say of the whole service: it asks its workers, and makes one answer of theirs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList

from balancer import __version__
from balancer.errors import BalancerError
from balancer.service.runtime import Runtime
from balancer.service.side_ports import SidePorts
from balancer.service.status import libraries, outline_of
from balancer.service.workers.holdings import Holdings
from balancer.service.workers.merging import merged_plugins, merged_status
from balancer.service.workers.process import WorkerProcess
from balancer.service.workers.protocol import Ask

if TYPE_CHECKING:
    from balancer.service.workers.crew import Crew

__all__ = ["ANSWERING", "Reporting", "Reports"]

ANSWERING = 2.0
"""Seconds that a worker may take for numbers; without them, its last ones count."""

_Answers = list[tuple[WorkerProcess, Any]]


class Reporting:
    """What the admin API asks of a service, passed to its :class:`Reports`."""

    def _reporting(self) -> Reports:
        raise NotImplementedError

    def outline(self) -> dict[str, Any]:
        """Return the status without what only workers know."""
        return self._reporting().outline()

    def status(self) -> Deferred[dict[str, Any]]:
        """Return the state of listeners, pools, servers and workers as plain values."""
        return self._reporting().status()

    def plugins(self) -> Deferred[dict[str, Any]]:
        """Return the packages that are loaded and how their calls went in all processes."""
        return self._reporting().plugins()

    def explain(self, question: Any) -> Deferred[dict[str, Any]]:
        """Return where a request would go; fails with BalancerError."""
        return self._reporting().explain(question)


class Reports:
    """Answers about all processes.

    Args:
        file: the configuration's path.
        holdings: what the master holds.
        side: the ports of metrics and admin API.
        crew: the workers.
        runtime: the master's, which has certificates issued and weights changed.
    """

    def __init__(self, file: Path, holdings: Holdings, side: SidePorts, crew: Crew, runtime: Runtime) -> None:
        self.reloads = 0
        self.since = time.monotonic()
        self._file = file
        self._holdings = holdings
        self._side = side
        self._crew = crew
        self._runtime = runtime

    def ask(self, what: str) -> Deferred[_Answers]:
        """Return what every worker says to ``what``, without those that say nothing in time."""
        workers = self._crew.reachable
        asked = DeferredList([worker.call(Ask, ANSWERING, what=what) for worker in workers], consumeErrors=True)

        def answered(outcomes: list[tuple[bool, Any]]) -> _Answers:
            return [
                (worker, outcome["answer"]) for worker, (well, outcome) in zip(workers, outcomes, strict=True) if well
            ]

        return asked.addCallback(answered)

    def outline(self) -> dict[str, Any]:
        """Return the status without what only workers know."""
        now, config = time.monotonic(), self._holdings.in_force.config
        return {
            "version": __version__,
            "pid": os.getpid(),
            "file": str(self._file),
            "uptime": now - self.since,
            "reloads": self.reloads,
            "libraries": libraries(),
            "metrics": self._side.addresses("metrics"),
            "admin": self._side.addresses("admin"),
            "overload": {"lag": 0.0, "limit": config.limits.shed_after, "share": 0.0, "turned_away": {}},
            "acme": self._runtime.ordering.report(),
            "splits": self._runtime.releases.report(),
            "workers": [
                {"name": each.name, "pid": each.pid, "state": each.state, "uptime": now - each.since}
                for each in self._crew.all
            ],
            "worker_count": config.workers,
            "worker_restarts": self._crew.restarts,
            **outline_of(self._holdings.in_force.snapshot, self._holdings.sockets.addresses),
        }

    def status(self) -> Deferred[dict[str, Any]]:
        """Return the state of listeners, pools, servers and workers as plain values."""

        def merge(answers: _Answers) -> dict[str, Any]:
            outline = self.outline()
            connections = {
                worker.pid: sum(listener["connections"] for listener in answer["listeners"])
                for worker, answer in answers
            }
            for worker in outline["workers"]:
                worker["connections"] = connections.get(worker["pid"])
            for worker, answer in answers:
                for each in (each for pool in answer["pools"] for each in pool["findings"]):
                    each["worker"] = worker.name
            return merged_status(outline, (answer for _, answer in answers))

        return self.ask("status").addCallback(merge)

    def explain(self, question: Any) -> Deferred[dict[str, Any]]:
        """Return where a request would go, as the first worker that can be asked sees it; see :mod:`balancer.service.questions`."""
        workers = self._crew.reachable
        if not workers:
            raise BalancerError("no worker can be asked for now")

        def answered(found: dict[str, Any]) -> dict[str, Any]:
            explained: dict[str, Any] = found["answer"]
            if "error" in explained:
                raise BalancerError(explained["error"])
            return {**explained, "worker": workers[0].name}

        return workers[0].call(Ask, ANSWERING, what="explain", question=question).addCallback(answered)

    def plugins(self) -> Deferred[dict[str, Any]]:
        """Return the packages that are loaded and how their calls went in all processes."""
        registry = self._holdings.in_force.snapshot.registry
        own = {"packages": registry.report(), "accounts": [account.report() for account in registry.accounts()]}
        return self.ask("plugins").addCallback(lambda answers: merged_plugins(own, (answer for _, answer in answers)))
