"""The workers of a master: as many as wanted, each replaced when it dies.

::

    start ──> starting ──(configured)──> ready ──(fewer are wanted, or all stop)──> stopping ──> gone
                 ▲                         │
                 └── at once, or later ────┴── died

One that dies is replaced at once; one that dies again within :data:`STABLE` seconds after a wait that doubles each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.protocols.amp import Command

from balancer.service.workers.process import READY, STARTING, WorkerProcess
from balancer.service.workers.protocol import STOP
from balancer.service.workers.shared_counts import SharedCounts

__all__ = ["Crew"]

STABLE = 10.0
"""Seconds that a worker has to live for its end to be a surprise."""
FIRST_WAIT = 0.1
LONGEST_WAIT = 30.0
PATIENCE = 5.0
"""Seconds beyond the time for draining until a worker that is told to stop is killed."""

_log = Logger()


class Crew:
    """Starts, replaces and stops workers.

    Args:
        reactor: spawns them.
        counts: the shared counts, of which each gets a row.
        memory: their descriptor.
        file: the configuration's path, for ps.
        greet: called with a worker that has started; returns what it is told of itself.
        ended: called with one that is gone, its row still its own.
        farewell: called with one that ends and its last metrics.
    """

    def __init__(
        self,
        reactor: Any,
        counts: SharedCounts,
        memory: int,
        file: str,
        greet: Callable[[WorkerProcess], dict[str, Any]],
        ended: Callable[[WorkerProcess], Any],
        farewell: Callable[[WorkerProcess, list[Any]], Any],
    ) -> None:
        self.wanted = 0
        self.restarts = 0
        self._reactor = reactor
        self._counts = counts
        self._memory = memory
        self._file = file
        self._greet = greet
        self._told_end = ended
        self._farewell = farewell
        self._serving: dict[int, WorkerProcess] = {}
        self._leaving: set[WorkerProcess] = set()
        self._deaths: dict[int, int] = {}
        self._due: dict[int, IDelayedCall] = {}

    def resize(self, wanted: int, timeout: float, how: str = STOP) -> list[int]:
        """Have ``wanted`` workers: start those that are missing, let those too many drain for ``timeout`` seconds.

        ``how`` is as of ``Stop``. Returns the numbers of those that go.
        """
        self.wanted = wanted
        for number in range(wanted):
            if number not in self._serving and number not in self._due:
                self._start(number)
        gone = [number for number in {*self._serving, *self._due} if number >= wanted]
        for number in gone:
            due = self._due.pop(number, None)
            if due is not None:
                due.cancel()
            worker = self._serving.pop(number, None)
            if worker is not None:
                self._let_go(worker, timeout, how)
        return gone

    def _start(self, number: int) -> None:
        self._due.pop(number, None)
        try:
            row = self._counts.take_row()
        except ValueError:  # so many drain still: one of them will end
            self._due[number] = self._reactor.callLater(1.0, self._start, number)
            return
        worker = WorkerProcess(self._reactor, number, row, self._greet, self._ended, self._farewell)
        self._serving[number] = worker
        worker.start(self._memory, self._file)

    def _let_go(self, worker: WorkerProcess, timeout: float, how: str) -> None:
        self._leaving.add(worker)
        worker.stop(timeout, how)
        kill = self._reactor.callLater(timeout + PATIENCE, self._kill, worker)
        worker.gone.addCallback(lambda _: kill.cancel() if kill.active() else None)

    @staticmethod
    def _kill(worker: WorkerProcess) -> None:
        _log.error("{worker} does not stop: it is killed", worker=worker.name)
        worker.signal("KILL")

    def _ended(self, worker: WorkerProcess, why: str) -> None:
        self._told_end(worker)
        self._counts.give_row_back(worker.row)
        self._leaving.discard(worker)
        number = worker.number
        if self._serving.get(number) is not worker:
            return
        del self._serving[number]
        self.restarts += 1
        lived = time.monotonic() - worker.since
        deaths = self._deaths[number] = 0 if lived >= STABLE else self._deaths.get(number, 0) + 1
        wait = min(FIRST_WAIT * 2.0 ** (deaths - 1), LONGEST_WAIT) if deaths else 0.0
        _log.error(
            "{worker} (pid {pid}) is gone after {lived:.1f} s: {why}; the next one starts in {wait:.1f} s",
            worker=worker.name,
            pid=worker.pid,
            lived=lived,
            why=why,
            wait=wait,
        )
        self._due[number] = self._reactor.callLater(wait, self._start, number)

    @property
    def ready(self) -> list[WorkerProcess]:
        """Those that serve."""
        return [worker for _, worker in sorted(self._serving.items()) if worker.state is READY]

    @property
    def all(self) -> list[WorkerProcess]:
        """Those there are: serving, starting, draining."""
        return [*(worker for _, worker in sorted(self._serving.items())), *self._leaving]

    @property
    def reachable(self) -> list[WorkerProcess]:
        """Those that may have something to say: serving or draining."""
        return [worker for worker in self.all if worker.state is not STARTING]

    def say(self, command: type[Command], limit: float, **arguments: Any) -> Deferred[Any]:
        """Say something to all that serve or drain; fires when all have answered, or will not within ``limit`` seconds."""
        said = [worker.call(command, limit, **arguments) for worker in self.reachable]
        return DeferredList(said, consumeErrors=True)

    def stop(self, timeout: float, how: str = STOP) -> Deferred[None]:
        """Let all drain for ``timeout`` seconds and end; fires when all are gone."""
        self.resize(0, timeout, how)
        return DeferredList([worker.gone for worker in self._leaving]).addCallback(lambda _: None)

    def __repr__(self) -> str:
        return f"<Crew of {self.wanted}, {len(self.ready)} ready, {len(self._leaving)} leaving>"
