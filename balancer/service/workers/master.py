"""The master: binds, checks, probes, keeps the books, and has workers serve.

::

    privilegedStartService   build the snapshot, bind every address
    startService             probes begin, workers start; each says hello, is given sockets and configuration, and serves
    reload                   read and build whole → bind what is new → every worker prepares → all swap, or none
    stopService              workers drain and end; the Deferred means that the last is gone

One thing at a time: a reload, the configuration of a worker that has started, a change to a server wait for each other.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Coroutine
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, DeferredLock, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from balancer.config.loading import Loaded
from balancer.errors import BalancerError
from balancer.listeners.opening import Opening
from balancer.pools.events import PoolEvent
from balancer.service.beside import Beside
from balancer.service.observing import log_event
from balancer.service.releases import Releases, Releasing
from balancer.service.runtime import Runtime
from balancer.service.server_state import take_over
from balancer.service.side_ports import SidePorts
from balancer.service.signals import Signals
from balancer.service.succession import Succession
from balancer.service.workers.changing import changed_by_all, restored_by_all
from balancer.service.workers.crew import Crew
from balancer.service.workers.holdings import Holdings, Next
from balancer.service.workers.preparing import prepare
from balancer.service.workers.process import READY, WorkerProcess
from balancer.service.workers.protocol import (
    HAND_OVER,
    LINGER,
    RETIRE,
    STEERED,
    STOP,
    Abandon,
    Reopen,
    ShareTLS,
    Swap,
    Tell,
)
from balancer.service.workers.pulse import Pulse
from balancer.service.workers.reports import ANSWERING, Reporting, Reports
from balancer.service.workers.summed import SummedMetrics

__all__ = ["Master"]

SWAPPING = 10.0
GATHERING = 5.0
"""Seconds after which workers are asked for their metrics, should nobody else do so."""

_SILENT = frozenset(["panic_began", "panic_ended"])
"""Events that workers tell of themselves."""

_log = Logger()


class Master(Reporting, Releasing, Service):
    """The balancer as a Twisted service, served by several processes.

    Args:
        reactor: everything of the master runs on it.
        file: the configuration file, read again at each reload.
        first: the configuration as already read.
        succession: what the process before has left, and how another takes over.
    """

    name = "balancer"

    def __init__(self, reactor: Any, file: Path, first: Loaded, succession: Succession | None = None) -> None:
        self.file = file
        self._first = first
        self._reactor = reactor
        self._succession = succession or Succession(reactor)
        inheritance = self._succession.inheritance
        self._runtime = Runtime(reactor, inheritance.secret)
        self._runtime.inherit(inheritance.tls, inheritance.splits)
        self._runtime.observe_pool = self._happened
        self._runtime.observe_tls = self._share_tls
        self._runtime.releases.tell = lambda: self._tell([], self._runtime.releases.state())
        self._runtime.releases.watching.gather = lambda: self._metrics.gathered()
        self._runtime.ordering.is_ready = lambda: self._accepting
        self._metrics = SummedMetrics(self._runtime.observing.metrics, self._gather_metrics)
        self._side = SidePorts(reactor, self._metrics.text, self, Opening(reactor, inheritance.take))
        self._holdings = Holdings(self._runtime, self._side, inheritance)
        self._crew: Crew | None = None
        self._reports: Reports | None = None
        self._lock = DeferredLock()
        self._beside = Beside(reactor)
        self._accepting = False
        self._stopping: Deferred[None] | None = None
        calls = {signal.SIGHUP: self._reload_by_signal, signal.SIGUSR1: self.reopen_logs}
        self._signals = Signals(reactor, calls | {signal.SIGUSR2: self._upgrade_by_signal})
        self._gathering = LoopingCall(self._gather_now_and_then)
        self._gathering.clock = reactor
        self._pulse = Pulse(reactor, lambda: () if self._crew is None else self._crew.ready)

    # Starting.

    def privilegedStartService(self) -> None:
        """Build the first snapshot and bind every address.

        Raises:
            BalancerError: with everything that is wrong; nothing stays open then.
        """
        self._succession.inheritance.began()
        self._signals.listen()  # before anybody can see that the ports are open
        try:
            first = self._holdings.prepare(self._first, self._first.config.workers)
        except BaseException:
            self._signals.leave()
            raise
        self._holdings.use(first)
        take_over(first.snapshot.pools, self._succession.inheritance.state)
        counts, memory = self._holdings.counts, self._holdings.memory
        self._crew = Crew(self._reactor, counts, memory, str(self.file), self._greet, self._ended, self._farewell)
        self._metrics.crew = self._crew
        self._reports = Reports(self.file, self._holdings, self._side, self._crew, self._runtime)

    def startService(self) -> None:
        """Begin to probe servers and to resolve names; start the workers."""
        super().startService()
        if self._crew is None:
            self.privilegedStartService()
        self._holdings.start_pools()
        self._running()[0].resize(self._holdings.in_force.config.workers, 0.0)
        self._gathering.start(GATHERING, now=False).addErrback(self._unexpected)
        self._pulse.start().addErrback(self._unexpected)

    def _running(self) -> tuple[Crew, Reports]:
        if self._crew is None or self._reports is None:
            raise BalancerError("the service is not running")
        return self._crew, self._reports

    # Workers come and go.

    def _greet(self, worker: WorkerProcess) -> dict[str, Any]:
        geometry = self._holdings.counts.geometry
        self._reactor.callLater(0.0, self._configure_in_turn, worker)  # once it has the answer
        return {
            "row": worker.row,
            "geometry": [geometry.rows, geometry.columns, geometry.buckets],
            "secret": self._runtime.secret,
            "tls": self._runtime.shared_tls(),
        }

    def _configure_in_turn(self, worker: WorkerProcess) -> None:
        self._in_turn(self._configure(worker)).addErrback(self._unexpected)

    async def _configure(self, worker: WorkerProcess) -> None:
        """Let a worker that has started serve."""
        now = self._holdings.in_force
        try:
            sockets = self._holdings.sockets.all(worker.number)
            await prepare(worker, now, sockets)
            await worker.call(Swap, SWAPPING, **self._holdings.told())
        except Exception as error:  # whatever it is, another try may go better
            if self._stopping is None:
                _log.error("{worker} cannot serve: {error}", worker=worker.name, error=_in_words(error))
            worker.signal("KILL")
            return
        worker.becomes_ready()
        self._tell(**self._holdings.told())  # what has happened since, of which only those that are ready are told
        self._share_tls()
        _log.info("{worker} serves, pid {pid}", worker=worker.name, pid=worker.pid)
        crew, _ = self._running()
        if not self._accepting and len(crew.ready) == crew.wanted:
            self._accepting = True
            self._holdings.sockets.steer(crew.wanted)  # should there have been more workers before
            self._succession.accepts()
            self._reactor.callLater(LINGER, self._keep_what_is_served)  # their last connections are served by then

    def _ended(self, worker: WorkerProcess) -> None:
        self._metrics.ledger.close(worker.pid)
        self._keep_what_is_served(worker)

    def _keep_what_is_served(self, gone: WorkerProcess | None = None) -> None:
        """Close the sockets of workers too many, once all of those are gone."""
        crew, _ = self._running()
        if crew.wanted and not any(each.number >= crew.wanted for each in crew.all if each is not gone):
            self._holdings.sockets.keep(crew.wanted)

    def _farewell(self, worker: WorkerProcess, metrics: list[Any]) -> None:
        self._metrics.ledger.note(worker.pid, metrics)

    def _unexpected(self, failure: Failure) -> None:
        _log.failure("a fault of the master", failure)

    def _happened(self, event: PoolEvent) -> None:
        """A probe, the resolver or an operator has changed what is known of a server."""
        if event.kind not in _SILENT:
            log_event(event)
        if event.server:
            self._tell(self._holdings.state_of(event.pool, event.server))

    def _tell(self, state: list[Any], splits: list[Any] | None = None) -> Deferred[Any]:
        if self._crew is None:
            return succeed(None)
        return self._crew.say(Tell, ANSWERING, state=state, splits=splits or [])

    def _share_tls(self) -> Deferred[Any]:
        if self._crew is None:
            return succeed(None)
        return self._crew.say(ShareTLS, ANSWERING, **self._runtime.shared_tls())

    def _in_turn(self, doing: Coroutine[Any, Any, Any]) -> Deferred[Any]:
        return self._lock.run(Deferred.fromCoroutine, doing)

    # Reloading.

    def _reload_by_signal(self) -> None:
        self.reload().addErrback(_known).addErrback(self._unexpected)

    def reload(self) -> Deferred[dict[str, Any]]:
        """Read the configuration again and have all workers swap it in; fails with BalancerError: nothing has changed."""
        return self._in_turn(self._reload())

    async def _reload(self) -> dict[str, Any]:
        metrics = self._runtime.observing.metrics
        crew, reports = self._running()
        if self._stopping is not None or self._succession.is_over:
            raise BalancerError("the service is not running")
        began = time.monotonic()
        try:
            found, snapshot = await self._beside.do(partial(self._holdings.read, self.file))
            wanted = self._holdings.prepare(found, min(crew.wanted, found.config.workers), snapshot)
            prepared = await self._prepared_by_all(wanted)
            if self._stopping is not None:
                self._holdings.abandon()
                raise BalancerError("the service is stopping")
        except BalancerError as error:
            metrics.reload_refused()
            _log.error("reload refused, the running configuration stays: {error}", error=error)
            raise
        except Exception as error:  # a fault of ours, or of a plug-in where nobody expected one
            metrics.reload_refused()
            _log.failure("reload failed, the running configuration stays")
            raise BalancerError(f"the reload failed: {type(error).__name__}: {error}") from error
        old = self._holdings.in_force.snapshot
        await self._swap(wanted, prepared)
        self._beside.forget(old)
        reports.reloads += 1
        metrics.reloaded()
        message = f"reloaded {self.file} in {(time.monotonic() - began) * 1000:.0f} ms"
        _log.info("{message}", message=message)
        return {"message": message}

    async def _prepared_by_all(self, wanted: Next) -> list[WorkerProcess]:
        """Let every worker prepare; return those that have."""
        workers = self._running()[0].ready
        sockets = self._holdings.sockets
        begin = Deferred.fromCoroutine
        try:
            preparing: list[Deferred[Any]] = [
                begin(prepare(worker, wanted, sockets.fresh(worker.number))) for worker in workers
            ]
            outcomes = await DeferredList(preparing, consumeErrors=True)
        except BaseException:
            self._holdings.abandon()
            raise
        prepared, failures = [], []
        for worker, (well, outcome) in zip(workers, outcomes, strict=True):
            if well:
                prepared.append(worker)
            elif worker.state is READY:  # else it has died, and will be replaced by one with the right configuration
                failures.append(f"{worker.name}: {_in_words(outcome.value)}")
        if failures:
            await DeferredList([worker.call(Abandon, SWAPPING) for worker in prepared], consumeErrors=True)
            self._holdings.abandon()
            raise BalancerError("; ".join(failures))
        return prepared

    async def _swap(self, wanted: Next, workers: list[WorkerProcess]) -> None:
        """Have this configuration everywhere."""
        self._holdings.use(wanted)
        told = self._holdings.told()
        swapping = DeferredList([worker.call(Swap, SWAPPING, **told) for worker in workers], consumeErrors=True)
        for worker, (well, outcome) in zip(workers, await swapping, strict=True):
            if not well and worker.state is READY:  # it has the old configuration, or none: it cannot stay
                _log.error("{worker} could not swap: {error}", worker=worker.name, error=_in_words(outcome.value))
                worker.signal("KILL")
        config, crew, sockets = wanted.config, self._running()[0], self._holdings.sockets
        steered = sockets.steer(config.workers)
        crew.resize(config.workers, config.graceful_timeout, STEERED if steered else RETIRE)
        if steered:
            self._keep_what_is_served()
        else:
            sockets.keep(config.workers)

    # What the admin API asks for.

    def reopen_logs(self) -> Deferred[dict[str, Any]]:
        """Have every worker open the access log anew, after it was moved away."""
        workers = self._running()[0].reachable
        opened = DeferredList([worker.call(Reopen, ANSWERING) for worker in workers], consumeErrors=True)
        return opened.addCallback(lambda _: {"message": "access log reopened"})

    def _gather_now_and_then(self) -> Deferred[None] | None:
        """Know what workers have counted, should one be killed before anybody asks; of no use without metrics."""
        return self._gather_metrics() if self._holdings.in_force.config.metrics is not None else None

    def _gather_metrics(self) -> Deferred[None]:
        def note(answers: list[tuple[WorkerProcess, Any]]) -> None:
            for worker, metrics in answers:
                if not worker.gone.called:
                    self._metrics.ledger.note(worker.pid, metrics)

        return self._running()[1].ask("metrics").addCallback(note)

    def _reporting(self) -> Reports:
        return self._running()[1]

    def _releases(self) -> Releases:
        return self._runtime.releases

    def change_server(self, pool: str, server: str, wanted: Any) -> Deferred[dict[str, Any]]:
        """Change a server's weight, drain it, disable it or take it back, in all workers; fails with BalancerError."""
        changing = changed_by_all(self._holdings, self._running()[0], pool, server, wanted)
        return self._in_turn(changing)

    def restore(self, pool: str, server: str | None) -> Deferred[dict[str, Any]]:
        """End ejections and close breakers of a server, or (None) of a pool, in all workers; fails with BalancerError."""
        return self._in_turn(restored_by_all(self._holdings, self._running()[0], pool, server))

    # Another process takes over.

    def _upgrade_by_signal(self) -> None:
        self.upgrade().addErrback(_known).addErrback(self._unexpected)

    def upgrade(self) -> Deferred[dict[str, Any]]:
        """Start the command anew and let it take over; fails with BalancerError, and all goes on as before."""

        async def upgrade() -> dict[str, Any]:
            if self._stopping is not None:
                raise BalancerError("the service is not running")
            holdings, (crew, _) = self._holdings, self._running()

            def hand_over() -> None:
                crew.stop(holdings.in_force.config.graceful_timeout, HAND_OVER)
                self._runtime.rest()
                self._side.hand_over()

            rest = self._runtime.left(holdings.state())
            return await self._succession.pass_on(holdings.left(), rest, hand_over)

        return self._in_turn(upgrade())

    # Stopping.

    def stopService(self) -> Deferred[None]:
        """Let the workers drain for ``graceful_timeout`` and end; fires when they are gone."""
        if self._stopping is not None:
            return self._stopping
        super().stopService()
        self._signals.leave()
        if self._crew is None or self._holdings.now is None:
            return succeed(None)
        if self._gathering.running:
            self._gathering.stop()
        self._pulse.stop()
        self._runtime.rest()
        limit = self._holdings.now.config.graceful_timeout
        _log.info("stopping: workers have {limit:g} s for connections to finish", limit=limit)
        handed_over = self._succession.is_over
        # First, so that nobody comes while the workers accept their last.
        (self._holdings.sockets.hand_over if handed_over else self._holdings.sockets.close)()
        ended = self._crew.stop(limit, HAND_OVER if handed_over else STOP)
        closing = self._side.close()
        for pool in self._holdings.now.snapshot.pools.values():
            pool.stop()
        self._stopping = DeferredList([ended, *closing]).addCallback(lambda _: _log.info("stopped"))
        return self._stopping


def _in_words(error: BaseException) -> str:
    return str(error) or type(error).__name__


_known = methodcaller("trap", BalancerError)  # every problem is in the log already
