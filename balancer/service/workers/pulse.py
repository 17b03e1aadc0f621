"""Workers that hang are found out: each is asked once a second whether it is there, and killed when it no longer answers.

What it served is stuck anyway; the kernel keeps sending it its share of new connections, which its successor finds in
the queue. Beats are counted, not seconds: after a pause of the whole machine nobody is late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from balancer.service.workers.process import WorkerProcess
from balancer.service.workers.protocol import Beat

__all__ = ["BEAT", "MISSED", "Pulse"]

BEAT = 1.0
"""Seconds between two questions."""
MISSED = 15
"""Beats without an answer after which a worker is taken to hang; building a configuration is excused."""

_log = Logger()


class Pulse:
    """Watches workers.

    Args:
        reactor: provides time.
        workers: returns those that are to answer.
    """

    def __init__(self, reactor: Any, workers: Callable[[], Iterable[WorkerProcess]]) -> None:
        self._workers = workers
        self._missed: dict[WorkerProcess, int] = {}
        self._call = LoopingCall(self.beat)
        self._call.clock = reactor

    def start(self) -> Deferred[Any]:
        """Begin; the Deferred fails if watching does."""
        return self._call.start(BEAT, now=False)

    def stop(self) -> None:
        """Watch no more."""
        if self._call.running:
            self._call.stop()

    def beat(self) -> None:
        """Ask those who have answered, and count for those who have not."""
        before, self._missed = self._missed, {}
        for worker in self._workers():
            missed = before.get(worker)
            if missed is None or worker.is_building:
                self._missed[worker] = 0
                if missed is None:
                    self._ask(worker)
            elif missed + 1 < MISSED:
                self._missed[worker] = missed + 1
            else:
                _log.error(
                    "{worker} (pid {pid}) has not answered for {seconds:g} s: it is killed",
                    worker=worker.name,
                    pid=worker.pid,
                    seconds=MISSED * BEAT,
                )
                worker.signal("KILL")

    def _ask(self, worker: WorkerProcess) -> None:
        def answered(answer: Any) -> None:
            self._missed.pop(worker, None)
            if isinstance(answer, Failure):
                answer.trap(Exception)  # it is gone, which its process tells

        worker.call(Beat, MISSED * BEAT * 100).addBoth(answered)
