"""A worker: the data plane of one process, told by its master what to serve.

Run by the master as ``python -m balancer.cli.worker``, with descriptor 3 the connection to it and 4 the
memory with everybody's counts. It binds nothing, probes nothing, resolves nothing: it gets its sockets and is told how servers are
doing. When the connection ends, or on SIGTERM, it drains and ends.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger, eventAsText
from twisted.protocols import amp
from twisted.python.failure import Failure
from twisted.python.threadable import isInIOThread

from balancer import __version__
from balancer.config.loading import again
from balancer.errors import BalancerError
from balancer.listeners.opening import Opening
from balancer.model.units import format_duration
from balancer.net.memory import settle
from balancer.pools.events import PoolEvent
from balancer.pools.guarded import GuardedPool
from balancer.pools.pool import Pool
from balancer.service.beside import Beside
from balancer.service.build import built, registry_for
from balancer.service.changes import restore
from balancer.service.data_plane import DataPlane
from balancer.service.observing import log_event
from balancer.service.questions import answer
from balancer.service.releases import take_splits
from balancer.service.runtime import Runtime, default_connections
from balancer.service.server_state import take_over
from balancer.service.snapshot import Snapshot
from balancer.service.workers.columns import EVERYTHING, limit_column, listener_column, server_column
from balancer.service.workers.ledger import plain
from balancer.service.workers.limits import ServerShare, SharedGate
from balancer.service.workers.protocol import (
    HAND_OVER,
    LINGER,
    RETIRE,
    STEERED,
    Abandon,
    Ask,
    Beat,
    Farewell,
    Hello,
    Prepare,
    Reopen,
    Restore,
    Said,
    ShareTLS,
    Stop,
    Swap,
    Tell,
)
from balancer.service.workers.shared_counts import Geometry, Row, SharedCounts
from balancer.tls.kept import NOTHING, Kept

__all__ = ["CONNECTION", "MEMORY", "Worker", "WorkerRuntime"]

CONNECTION = 3
"""The descriptor of the connection to the master."""
MEMORY = 4
"""The descriptor of the shared counts."""

_OURS = frozenset(
    [
        *("server_ejected", "server_suspected", "server_returned", "panic_began", "panic_ended"),
        *("breaker_opened", "breaker_half_opened", "breaker_closed"),
    ]
)
"""Events that only this worker knows of; the others are the master's to log."""

_LOOK_FOR_ROOM = 0.02
"""Seconds after which a queue looks whether another worker has made room on a server."""

_FAREWELL = 5.0

_log = Logger()


class WorkerRuntime(Runtime):
    """What outlives snapshots in a worker: limits are everybody's, servers are somebody else's to probe."""

    def __init__(self, reactor: Any, row: Row, secret: str) -> None:
        self.row = row
        self.columns: dict[str, int] = {EVERYTHING: 0}
        super().__init__(reactor, secret)
        self.observe_pool = _log_ours
        self.certificates.tells = False  # the master does

    def gate(self) -> SharedGate:
        """Return the gate of all workers."""
        return SharedGate(self.row, self.columns[EVERYTHING])

    def gate_below(self, listener: str, connections: int | None, per_client: int | None) -> SharedGate:
        """Return the gate of ``listener`` in all workers."""
        return SharedGate(self.row, self.columns[listener_column(listener)], connections, per_client, above=self._gate)

    def use(self, snapshot: Snapshot) -> None:
        """Take the limits and the observers of ``snapshot`` into use."""
        super().use(snapshot)
        config = snapshot.config
        limit = config.limits.connections
        gate = self._gate
        assert isinstance(gate, SharedGate)
        gate.connections = limit
        gate.alone = default_connections() if limit is None else None
        for name, pool in snapshot.pools.items():
            for settings, server in zip(config.pools[name].servers, pool.servers, strict=True):
                most = settings.max_connections
                share = None if most is None else ServerShare(self.row, self.columns[server_column(name, server)], most)
                server.share_limit(share)
            for each in pool.limits.all if isinstance(pool, GuardedPool) else ():
                column = self.columns.get(limit_column(name, each))
                if each.most is None or column is None:
                    each.keep_with_others(None)
                else:
                    each.keep_with_others(ServerShare(self.row, column, each.most))

    def start(self, pool: Pool) -> None:
        """Begin nothing: the master probes and resolves."""

    def _rotate_each(self, seconds: float | None) -> None:
        """Make no keys: the master does."""

    def _ask_authorities(self) -> None:
        """Ask nobody: the master does, and passes on what they say."""

    def _order(self, snapshot: Snapshot) -> None:
        """Order nothing: the master does."""

    def _release(self, snapshot: Snapshot) -> None:
        """Change no weights: the master does, and tells."""

    def take_proofs(self, proofs: list[dict[str, str]]) -> None:
        """Let authorities find these, and no others."""
        for ours, told in zip((self.ordering.proofs, self.ordering.proofs_of_names), proofs, strict=True):
            ours.clear()
            ours.update(told)


def _log_ours(event: PoolEvent) -> None:
    if event.kind in _OURS:
        log_event(event)


class Worker(amp.AMP):
    """Does what the master says.

    Args:
        reactor: everything runs on it.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__()
        self._reactor = reactor
        self._opening = Opening(reactor)
        self._plane: DataPlane | None = None
        self._runtime: WorkerRuntime | None = None
        self._beside = Beside(reactor)
        self._preparing = 0
        self._next: Snapshot | None = None
        self._next_columns: dict[str, int] = {}
        self._connected = False
        self._settled = False
        self._told_to_stop = False
        self._stopping = False

    # The conversation.

    def connectionMade(self) -> None:
        """Say hello."""
        super().connectionMade()
        self._connected = True
        self.callRemote(Hello, version=__version__).addCallbacks(self._welcome, self._refused)

    def _welcome(self, answer: dict[str, Any]) -> None:
        settings = answer["settings"]
        counts = SharedCounts(MEMORY, Geometry(*settings["geometry"]), bytes.fromhex(settings["secret"]))
        os.close(MEMORY)
        self._runtime = WorkerRuntime(self._reactor, counts.row(settings["row"]), settings["secret"])
        self.share_tls(**settings["tls"])
        self._plane = DataPlane(self._runtime, self._opening)

    def _refused(self, failure: Failure) -> None:
        if not self._stopping:
            _log.failure("the master did not answer", failure)
            self._end()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The master is gone."""
        self._connected = False
        if self._told_to_stop:  # and cannot wait: somebody ended the master a second time
            self._end()
        super().connectionLost(reason)
        self.stop(self._graceful())

    @Prepare.responder
    def prepare(
        self, found: dict[str, Any], kept: dict[str, Any], columns: dict[str, int], sockets: list[dict[str, Any]]
    ) -> Deferred[dict[str, Any]]:
        """Build a configuration, beside the loop."""
        for each in sockets:
            os.set_inheritable(each["descriptor"], False)
            self._opening.hand(each["listener"], each["bind"], each["descriptor"])
        self._preparing = preparing = self._preparing + 1
        self._next = None
        runtime = self._runtime
        assert runtime is not None

        def build() -> Snapshot:
            runtime.certificates.kept = Kept.from_plain(kept)
            try:
                return built(again(found["data"], found["file"], found["directory"], registry_for), runtime)
            finally:
                runtime.certificates.kept = NOTHING

        def prepared(snapshot: Snapshot) -> dict[str, Any]:
            if preparing == self._preparing:  # else it is not wanted any more
                self._next, self._next_columns = snapshot, columns
            return {}

        def failed(failure: Failure) -> dict[str, Any]:
            if preparing == self._preparing:
                self._opening.drop()
            error = failure.value
            if isinstance(error, BalancerError):
                raise error
            _log.failure("the configuration could not be built", failure)
            raise BalancerError(f"{type(error).__name__}: {error}") from error

        return self._beside.do(build).addCallbacks(prepared, failed)

    @Abandon.responder
    def abandon(self) -> dict[str, Any]:
        """Forget what is prepared, or being prepared."""
        self._preparing += 1
        self._next = None
        self._opening.drop()
        return {}

    @Swap.responder
    def swap(self, state: list[Any], splits: list[Any]) -> dict[str, Any]:
        """Serve by what is prepared."""
        snapshot, self._next = self._next, None
        assert snapshot is not None
        assert self._plane is not None
        assert self._runtime is not None
        self._runtime.columns = self._next_columns
        self._plane.listeners.prepare(snapshot)
        take_splits(snapshot, splits)
        old = self._plane.snapshot
        self._plane.swap(snapshot)
        self._beside.forget(old)
        take_over(snapshot.pools, state)
        self._opening.drop()
        self._look_for_room(snapshot)
        if not self._settled:
            self._settled = True
            self._plane.start()
            settle()
        return {}

    @Tell.responder
    def tell(self, state: list[Any], splits: list[Any]) -> dict[str, Any]:
        """Go by what the master knows of servers, and share as it says."""
        snapshot = None if self._plane is None else self._plane.snapshot
        if snapshot is not None:
            take_over(snapshot.pools, state)
            take_splits(snapshot, splits)
        return {}

    @Restore.responder
    def restore(self, pool: str, server: str) -> dict[str, Any]:
        """Use servers again before their time."""
        snapshot = None if self._plane is None else self._plane.snapshot
        return {"restored": restore(snapshot, pool, server or None)}

    @ShareTLS.responder
    def share_tls(self, staples: dict[str, str], keys: list[str], proofs: list[dict[str, str]]) -> dict[str, Any]:
        """Show certificates with what their authorities say of them, and give out tickets that all workers can read."""
        if self._runtime is not None:
            self._runtime.certificates.staple({key: bytes.fromhex(text) for key, text in staples.items()})
            self._runtime.ticket_keys.use([bytes.fromhex(key) for key in keys])
            self._runtime.take_proofs(proofs)
        return {}

    @Beat.responder
    def beat(self) -> dict[str, Any]:
        """Say that we are there."""
        return {}

    @Reopen.responder
    def reopen(self) -> dict[str, Any]:
        """Open the access log anew."""
        if self._runtime is not None:
            self._runtime.observing.reopen()
        return {}

    @Ask.responder
    def ask(self, what: str, question: Any = None) -> dict[str, Any]:
        """Return the numbers of the moment, or an answer."""
        assert self._plane is not None
        if what == "metrics":
            return {"answer": self._metrics()}
        if what == "explain":
            assert self._plane.snapshot is not None
            try:
                return {"answer": answer(self._plane.snapshot, question)}
            except BalancerError as error:
                return {"answer": {"error": str(error)}}
        return {"answer": self._plane.status() if what == "status" else self._plane.plugins()}

    @Stop.responder
    def stop_when_told(self, timeout: float, how: str) -> dict[str, Any]:
        """Drain and end."""
        self._told_to_stop = True
        if self._plane is not None:
            if how == HAND_OVER:
                self._plane.listeners.hand_over()
            elif how in (RETIRE, STEERED):
                self._plane.listeners.end_flows()
        if how == STEERED:
            self._reactor.callLater(LINGER, self.stop, timeout)
        else:
            self.stop(timeout)
        return {}

    def _metrics(self) -> list[Any]:
        if self._runtime is None:
            return []
        return plain(self._runtime.observing.metrics.collect())

    # Rooms that others make.

    def _look_for_room(self, snapshot: Snapshot) -> None:
        """While requests wait for a server that is full, see whether another worker has finished one there."""
        pools = [pool for pool in snapshot.pools.values() if any(server.share for server in pool.servers)]

        def look() -> None:
            if self._plane is not None and self._plane.snapshot is snapshot:
                for pool in pools:
                    if pool.queue.waiting:
                        pool.queue.serve()
                self._reactor.callLater(_LOOK_FOR_ROOM, look)

        if pools:
            look()

    # The end.

    def _graceful(self) -> float:
        snapshot = None if self._plane is None else self._plane.snapshot
        return 0.0 if snapshot is None else snapshot.config.graceful_timeout

    def stop(self, timeout: float | None = None) -> None:
        """Drain for ``timeout`` seconds, by default the configured time, say farewell and end."""
        if self._stopping:
            return
        self._stopping = True
        self._opening.drop()
        limit = self._graceful() if timeout is None else timeout
        plane = self._plane
        in_flight = "" if plane is None else plane.listeners.in_flight()
        if in_flight:
            _log.info("stopping: {limit} for {what} to finish", limit=format_duration(limit), what=in_flight)
        drained: Deferred[None] = succeed(None) if plane is None else plane.drain(limit)
        drained.addErrback(partial(_log.failure, "draining failed"))
        drained.addCallback(lambda _: self._say_farewell()).addBoth(lambda _: self._end())

    def _say_farewell(self) -> Deferred[Any]:
        if not self._connected:
            return succeed(None)
        said: Deferred[Any] = self.callRemote(Farewell, metrics=self._metrics())
        return said.addTimeout(_FAREWELL, self._reactor).addErrback(lambda _: None)

    def _end(self) -> None:
        if self._reactor.running:
            self._reactor.stop()

    # The log.

    def log(self, event: Any) -> None:
        """Send an event of the log to the master."""
        if not isInIOThread():
            self._reactor.callFromThread(self.log, event)
        elif self._connected:
            text = eventAsText(event, includeTimestamp=False, includeSystem=False)
            self.callRemote(Said, level=event["log_level"].name, text=text)
