"""The master: binds, checks, probes, keeps the books, and has workers serve.

::

    privilegedStartService   build the snapshot, bind every address
    startService             probes begin, workers start; each says hello, is given sockets and configuration, and serves
    reload                   read and build whole → bind what is new → every worker prepares → all swap, or none
    stopService              workers drain and end; the Deferred means that the last is gone

One thing at a time: a reload, the configuration of a worker that has started, a change to a server wait for each other.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, DeferredLock, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from balancer import __version__
from balancer.config.loading import Loaded
from balancer.config.schema import Config
from balancer.errors import BalancerError
from balancer.pools.events import PoolEvent
from balancer.service.build import built, loaded
from balancer.service.data_plane import change_server
from balancer.service.observing import log_event
from balancer.service.runtime import Runtime, default_connections
from balancer.service.side_ports import SidePorts
from balancer.service.signals import Signals
from balancer.service.snapshot import Snapshot
from balancer.service.status import outline_of
from balancer.service.workers.columns import Columns, listener_column, server_column
from balancer.service.workers.crew import Crew
from balancer.service.workers.listening_sockets import ListeningSockets
from balancer.service.workers.merging import merged_plugins, merged_status
from balancer.service.workers.process import READY, WorkerProcess
from balancer.service.workers.protocol import Abandon, Ask, Prepare, Reopen, Swap, Tell
from balancer.service.workers.server_state import state_of
from balancer.service.workers.shared_counts import BUCKET, Geometry, SharedCounts, shared_memory
from balancer.service.workers.summed import SummedMetrics

__all__ = ["Master"]

BUILDING = 60.0
"""Seconds that a worker may take to build a configuration."""
ANSWERING = 2.0
"""Seconds that a worker may take for numbers; without them, its last ones count."""
SWAPPING = 10.0
GATHERING = 5.0
"""Seconds after which workers are asked for their metrics, should nobody else do so."""

_ROWS = 512
_COLUMNS = 4096
_SILENT = frozenset(["panic_began", "panic_ended"])
"""Events that workers tell of themselves."""

_log = Logger()


class Master(Service):
    """The balancer as a Twisted service, served by several processes.

    Args:
        reactor: everything of the master runs on it.
        file: the configuration file, read again at each reload.
        first: the configuration as already read.
    """

    name = "balancer"

    def __init__(self, reactor: Any, file: Path, first: Loaded) -> None:
        self.file = file
        self.reloads = 0
        self.snapshot: Snapshot | None = None
        self._first = first
        self._reactor = reactor
        self._runtime = Runtime(reactor)
        self._runtime.observe_pool = self._happened
        self._sockets = ListeningSockets(reactor)
        self._metrics = SummedMetrics(self._runtime.observing.metrics, self._gather_metrics, self)
        self._side = SidePorts(reactor, self._metrics.text, self)
        self._lock = DeferredLock()
        self._started = 0.0
        self._stopping: Deferred[None] | None = None
        self._signals = Signals(reactor, {signal.SIGHUP: self._reload_by_signal, signal.SIGUSR1: self.reopen_logs})
        self._found: dict[str, Any] = {}
        self._columns_now: dict[str, int] = {}
        self.crew: Crew | None = None
        self._gathering = LoopingCall(self._gather_now_and_then)
        self._gathering.clock = reactor

    # Starting.

    def privilegedStartService(self) -> None:
        """Build the first snapshot and bind every address.

        Raises:
            BalancerError: with everything that is wrong; nothing stays open then.
        """
        found = self._first
        snapshot = built(found, self._runtime)
        found.config.forget_places()
        geometry = _geometry(found.config)
        memory = shared_memory(geometry)
        self._counts = SharedCounts(memory, geometry, bytes.fromhex(self._runtime.secret))
        self._columns = Columns(geometry.columns, self._counts.total)
        self._signals.listen()  # before anybody can see that the ports are open
        try:
            columns = self._columns.named(_counted(snapshot))
            self._sockets.prepare(found.config, found.config.workers)
            self._side.prepare(found.config)
        except BaseException:
            self._signals.leave()
            self._sockets.close()
            os.close(memory)
            raise
        self.crew = Crew(self._reactor, self._counts, memory, str(self.file), self._greet, self._ended, self._farewell)
        self._use(found, snapshot, columns)

    def _use(self, found: Loaded, snapshot: Snapshot, columns: dict[str, int]) -> None:
        """Let this be the present configuration."""
        self._sockets.swap()
        self._side.swap(found.config)
        self._columns.keep(columns)
        self._columns_now = columns
        self._found = _sendable(found)
        self.snapshot = snapshot

    def startService(self) -> None:
        """Begin to probe servers and to resolve names; start the workers."""
        super().startService()
        if self.crew is None:
            self.privilegedStartService()
        assert self.crew is not None
        assert self.snapshot is not None
        self._started = time.monotonic()
        for pool in self.snapshot.pools.values():
            self._runtime.start(pool)
        self.crew.resize(self.snapshot.config.workers, 0.0)
        self._gathering.start(GATHERING, now=False).addErrback(self._unexpected)

    def _gather_now_and_then(self) -> Deferred[None] | None:
        """Know what workers have counted, should one be killed before anybody asks; of no use without metrics."""
        wanted = self.snapshot is not None and self.snapshot.config.metrics is not None
        return self._gather_metrics() if wanted else None

    # Workers come and go.

    def _greet(self, worker: WorkerProcess) -> dict[str, Any]:
        geometry = self._counts.geometry
        self._reactor.callLater(0.0, self._configure_in_turn, worker)  # once it has the answer
        return {
            "row": worker.row,
            "geometry": [geometry.rows, geometry.columns, geometry.buckets],
            "secret": self._runtime.secret,
        }

    def _configure_in_turn(self, worker: WorkerProcess) -> None:
        self._in_turn(self._configure(worker)).addErrback(self._unexpected)

    async def _configure(self, worker: WorkerProcess) -> None:
        """Let a worker that has started serve."""
        try:
            sockets = self._sockets.all(worker.number)
            await worker.call(Prepare, BUILDING, found=self._found, columns=self._columns_now, sockets=sockets)
            await worker.call(Swap, SWAPPING, state=self._state())
        except Exception as error:  # whatever it is, another try may go better
            if self._stopping is None:
                _log.error("{worker} cannot serve: {error}", worker=worker.name, error=_in_words(error))
            worker.signal("KILL")
            return
        worker.becomes_ready()
        _log.info("{worker} serves, pid {pid}", worker=worker.name, pid=worker.pid)

    def _state(self) -> list[Any]:
        assert self.snapshot is not None
        return [state for pool in self.snapshot.pools.values() for state in state_of(pool)]

    def _ended(self, worker: WorkerProcess) -> None:
        self._metrics.ledger.close(worker.pid)

    def _farewell(self, worker: WorkerProcess, metrics: list[Any]) -> None:
        self._metrics.ledger.note(worker.pid, metrics)

    def _unexpected(self, failure: Failure) -> None:
        _log.failure("a fault of the master", failure)

    def _happened(self, event: PoolEvent) -> None:
        """A probe, the resolver or an operator has changed what is known of a server."""
        if event.kind not in _SILENT:
            log_event(event)
        pool = None if self.snapshot is None else self.snapshot.pools.get(event.pool)
        if pool is not None and event.server:
            self._tell(state_of(pool, [server for server in pool.servers if server.name == event.server]))

    def _tell(self, state: list[Any]) -> Deferred[Any]:
        workers = [] if self.crew is None else [each for each in self.crew.reachable if each.state is READY]
        told = [each.call(Tell, ANSWERING, state=state) for each in workers]
        return DeferredList(told, consumeErrors=True)

    def _in_turn(self, doing: Coroutine[Any, Any, Any]) -> Deferred[Any]:
        return self._lock.run(Deferred.fromCoroutine, doing)

    # Reloading.

    def _reload_by_signal(self) -> None:
        def refused(failure: Failure) -> None:
            failure.trap(BalancerError)  # every problem is in the log already

        self.reload().addErrback(refused).addErrback(self._unexpected)

    def reload(self) -> Deferred[dict[str, Any]]:
        """Read the configuration again and have all workers swap it in; fails with BalancerError, and nothing has changed."""
        return self._in_turn(self._reload())

    async def _reload(self) -> dict[str, Any]:
        metrics = self._runtime.observing.metrics
        if self._stopping is not None or self.snapshot is None:
            raise BalancerError("the service is not running")
        began = time.monotonic()
        try:
            found, snapshot, columns = self._prepared()
            prepared = await self._prepared_by_all(found, columns)
        except BalancerError as error:
            metrics.reload_refused()
            _log.error("reload refused, the running configuration stays: {error}", error=error)
            raise
        except Exception as error:  # a fault of ours, or of a plug-in where nobody expected one
            metrics.reload_refused()
            _log.failure("reload failed, the running configuration stays")
            raise BalancerError(f"the reload failed: {type(error).__name__}: {error}") from error
        await self._swap(found, snapshot, columns, prepared)
        self.reloads += 1
        metrics.reloaded()
        message = f"reloaded {self.file} in {(time.monotonic() - began) * 1000:.0f} ms"
        _log.info("{message}", message=message)
        return {"message": message}

    def _prepared(self) -> tuple[Loaded, Snapshot, dict[str, int]]:
        """Read, build and bind what is new."""
        found = loaded(self.file)
        if found.config.workers == 1:
            raise BalancerError("'workers' can be changed to 1 by a restart only")
        snapshot = built(found, self._runtime)
        found.config.forget_places()
        assert self.crew is not None
        self._sockets.prepare(found.config, min(self.crew.wanted, found.config.workers))
        try:
            for new, old in self._sockets.renamed.items():
                self._columns.rename(listener_column(old), listener_column(new))
            columns = self._columns.named(_counted(snapshot))
            self._side.prepare(found.config)
        except BaseException:
            self._forget()
            raise
        return found, snapshot, columns

    def _forget(self) -> None:
        for new, old in self._sockets.renamed.items():
            self._columns.rename(listener_column(new), listener_column(old))
        self._columns.keep(self._columns_now)
        self._sockets.abandon()
        self._side.abandon()

    async def _prepared_by_all(self, found: Loaded, columns: dict[str, int]) -> list[WorkerProcess]:
        """Let every worker prepare; return those that have."""
        assert self.crew is not None
        workers = self.crew.ready
        sendable = _sendable(found)
        try:
            outcomes = await DeferredList(
                [
                    worker.call(
                        Prepare, BUILDING, found=sendable, columns=columns, sockets=self._sockets.fresh(worker.number)
                    )
                    for worker in workers
                ],
                consumeErrors=True,
            )
        except BaseException:
            self._forget()
            raise
        prepared, failures = [], []
        for worker, (well, outcome) in zip(workers, outcomes, strict=True):
            if well:
                prepared.append(worker)
            elif worker.state is READY:  # else it has died, and will be replaced by one with the right configuration
                failures.append(f"{worker.name}: {_in_words(outcome.value)}")
        if failures:
            await DeferredList([worker.call(Abandon, SWAPPING) for worker in prepared], consumeErrors=True)
            self._forget()
            raise BalancerError("; ".join(failures))
        return prepared

    async def _swap(
        self, found: Loaded, snapshot: Snapshot, columns: dict[str, int], workers: Iterable[WorkerProcess]
    ) -> None:
        """Have this configuration everywhere."""
        old = self.snapshot
        assert old is not None
        assert self.crew is not None
        for name, pool in snapshot.pools.items():
            if name in old.pools:
                pool.adopt(old.pools[name])
        self._use(found, snapshot, columns)
        for pool in snapshot.pools.values():
            self._runtime.start(pool)
        for pool in old.pools.values():
            pool.close()
        state = self._state()
        swapping = [(worker, worker.call(Swap, SWAPPING, state=state)) for worker in workers]
        for worker, swapped in swapping:
            try:
                await swapped
            except Exception as error:  # it has the old configuration, or none: it cannot stay
                _log.error("{worker} could not swap: {error}", worker=worker.name, error=_in_words(error))
                worker.signal("KILL")
        for number in self.crew.resize(found.config.workers, found.config.graceful_timeout):
            self._sockets.end(number)

    # What the admin API asks for.

    def reopen_logs(self) -> Deferred[dict[str, Any]]:
        """Have every worker open the access log anew, after it was moved away."""
        workers = [] if self.crew is None else self.crew.reachable
        opened = DeferredList([worker.call(Reopen, ANSWERING) for worker in workers], consumeErrors=True)
        return opened.addCallback(lambda _: {"message": "access log reopened"})

    def _ask(self, what: str) -> Deferred[list[tuple[WorkerProcess, Any]]]:
        """Return what every worker says to ``what``, without those that say nothing in time."""
        workers = [] if self.crew is None else self.crew.reachable
        asked = DeferredList([worker.call(Ask, ANSWERING, what=what) for worker in workers], consumeErrors=True)

        def answered(outcomes: list[tuple[bool, Any]]) -> list[tuple[WorkerProcess, Any]]:
            return [
                (worker, outcome["answer"]) for worker, (well, outcome) in zip(workers, outcomes, strict=True) if well
            ]

        return asked.addCallback(answered)

    def _gather_metrics(self) -> Deferred[None]:
        def note(answers: list[tuple[WorkerProcess, Any]]) -> None:
            for worker, metrics in answers:
                if worker.pid and not worker.gone.called:
                    self._metrics.ledger.note(worker.pid, metrics)

        return self._ask("metrics").addCallback(note)

    def outline(self) -> dict[str, Any]:
        """Return the status without what only workers know."""
        if self.snapshot is None or self.crew is None:
            raise BalancerError("the service is not running")
        now = time.monotonic()
        return {
            "version": __version__,
            "file": str(self.file),
            "uptime": now - self._started,
            "reloads": self.reloads,
            "metrics": self._side.addresses("metrics"),
            "admin": self._side.addresses("admin"),
            "workers": [
                {"name": each.name, "pid": each.pid, "state": each.state, "uptime": now - each.since}
                for each in self.crew.all
            ],
            "worker_count": self.snapshot.config.workers,
            "worker_restarts": self.crew.restarts,
            **outline_of(self.snapshot, self._sockets.addresses),
        }

    def status(self) -> Deferred[dict[str, Any]]:
        """Return the state of listeners, pools, servers and workers as plain values."""

        def merge(answers: list[tuple[WorkerProcess, Any]]) -> dict[str, Any]:
            outline = self.outline()
            connections = {
                worker.pid: sum(listener["connections"] for listener in answer["listeners"])
                for worker, answer in answers
            }
            for worker in outline["workers"]:
                worker["connections"] = connections.get(worker["pid"])
            return merged_status(outline, (answer for _, answer in answers))

        return self._ask("status").addCallback(merge)

    def plugins(self) -> Deferred[dict[str, Any]]:
        """Return the packages that are loaded and how their calls went in all processes."""
        if self.snapshot is None:
            raise BalancerError("the service is not running")
        registry = self.snapshot.registry
        own = {"packages": registry.report(), "accounts": [account.report() for account in registry.accounts()]}
        return self._ask("plugins").addCallback(lambda answers: merged_plugins(own, (answer for _, answer in answers)))

    def change_server(
        self, pool: str, server: str, *, weight: int | None, drain: bool | None
    ) -> Deferred[dict[str, Any]]:
        """Change a server's weight, or drain it or take it back, in all workers; fails with BalancerError."""

        async def change() -> dict[str, Any]:
            now = change_server(self.snapshot, pool, server, weight=weight, drain=drain)
            _log.info("{name} of pool {pool} is {state} now, weight {weight}", pool=pool, **now)
            assert self.snapshot is not None
            found = self.snapshot.pools[pool]
            await self._tell(state_of(found, [each for each in found.servers if each.name == server]))
            return now

        return self._in_turn(change())

    # Stopping.

    def stopService(self) -> Deferred[None]:
        """Let the workers drain for ``graceful_timeout`` and end; fires when they are gone."""
        if self._stopping is not None:
            return self._stopping
        super().stopService()
        self._signals.leave()
        if self.snapshot is None or self.crew is None:
            return succeed(None)
        limit = self.snapshot.config.graceful_timeout
        if self._gathering.running:
            self._gathering.stop()
        _log.info("stopping: workers have {limit:g} s for connections to finish", limit=limit)
        ended = self.crew.stop(limit)
        self._sockets.close()
        closing = self._side.close()
        for pool in self.snapshot.pools.values():
            pool.stop()
        self._stopping = DeferredList([ended, *closing]).addCallback(lambda _: _log.info("stopped"))
        return self._stopping


def _counted(snapshot: Snapshot) -> list[str]:
    """Return the names of what has limits that hold for all workers."""
    config = snapshot.config
    names = [listener_column(name) for name in config.listeners]
    for name, pool in snapshot.pools.items():
        for settings, server in zip(config.pools[name].servers, pool.servers, strict=True):
            if settings.max_connections is not None:
                names.append(server_column(name, server))
    return names


def _geometry(config: Config) -> Geometry:
    """Return counts that have room for twice as many clients as a worker may have connections, for two gates."""
    clients = min(config.limits.connections or default_connections(), 1 << 18)
    buckets = 1 << max(7, (clients * 4 // BUCKET).bit_length())
    return Geometry(_ROWS, _COLUMNS, buckets)


def _sendable(found: Loaded) -> dict[str, Any]:
    """Return a configuration as workers get it: read, with variables and secrets put in."""
    document = found.document
    return {"data": document.data, "file": document.file, "directory": document.directory}


def _in_words(error: BaseException) -> str:
    return str(error) or type(error).__name__
