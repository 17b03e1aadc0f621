"""The service: opens listeners, runs pools, swaps snapshots, stops gracefully.

::

    privilegedStartService   build the snapshot, bind every address (ports below 1024 still can be)
    startService             probes and resolving begin, signals are listened to
    reload                   build whole, beside the loop → bind what is new → swap by reference → drain what is gone
    stopService              stop accepting, let exchanges in flight finish, then cut; the Deferred means "really done"

A reload that fails anywhere before the swap leaves everything as it was and says why.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredLock, gatherResults, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from balancer import __version__
from balancer.config.loading import Loaded
from balancer.errors import BalancerError
from balancer.listeners.opening import Opening
from balancer.model.units import format_duration
from balancer.service.beside import Beside
from balancer.service.build import built, loaded
from balancer.service.changes import Change, change_server, checked, restore, restored
from balancer.service.data_plane import DataPlane
from balancer.service.questions import answer
from balancer.service.releases import Releases, Releasing
from balancer.service.runtime import Runtime
from balancer.service.server_state import state_of, take_over
from balancer.service.side_ports import SidePorts
from balancer.service.signals import Signals
from balancer.service.snapshot import Snapshot
from balancer.service.status import libraries
from balancer.service.succession import Succession

__all__ = ["BalancerService"]

_log = Logger()


class BalancerService(Releasing, Service):
    """The balancer as a Twisted service.

    Args:
        reactor: everything runs on it.
        file: the configuration file, read again at each reload.
        first: the configuration as already read.
        succession: what the process before has left, and how another takes over.
    """

    name = "balancer"

    def __init__(
        self, reactor: Any, file: Path, first: Loaded | None = None, succession: Succession | None = None
    ) -> None:
        self.file = file
        self.reloads = 0
        self._first = first
        self._reactor = reactor
        self._plane: DataPlane | None = None
        self._side: SidePorts | None = None
        self._started = 0.0
        self._stopping: Deferred[None] | None = None
        self._succession = succession or Succession(reactor)
        self._beside = Beside(reactor)
        self._lock = DeferredLock()
        calls = {
            signal.SIGHUP: self._reload_by_signal,
            signal.SIGUSR1: self.reopen_logs,
            signal.SIGUSR2: self._upgrade_by_signal,
        }
        self._signals = Signals(reactor, calls)

    # Starting.

    def privilegedStartService(self) -> None:
        """Build the first snapshot and bind every address.

        Raises:
            BalancerError: with everything that is wrong; nothing stays open then.
        """
        found = self._first or loaded(self.file)
        self._first = None
        inheritance = self._succession.inheritance
        inheritance.began()
        opening = Opening(self._reactor, inheritance.take)
        plane = DataPlane(Runtime(self._reactor, inheritance.secret), opening)
        plane.runtime.inherit(inheritance.tls, inheritance.splits)
        snapshot = built(found, plane.runtime)
        found.config.forget_places()
        side = SidePorts(self._reactor, plane.runtime.observing.metrics.text, self, opening)
        self._signals.listen()  # before anybody can see that the ports are open
        try:
            plane.listeners.prepare(snapshot)
            side.prepare(found.config)
        except BaseException:
            self._signals.leave()
            plane.listeners.abandon()
            raise
        plane.swap(snapshot)
        side.swap(found.config)
        take_over(snapshot.pools, inheritance.state)
        self._plane, self._side = plane, side

    def startService(self) -> None:
        """Begin to probe servers and to resolve names; listen to signals."""
        super().startService()
        if self._plane is None:
            self.privilegedStartService()
        self._started = time.monotonic()
        self._running().start()
        self._reactor.callWhenRunning(self._succession.accepts)

    def _running(self) -> DataPlane:
        if self._plane is None:
            raise BalancerError("the service is not running")
        return self._plane

    # Reloading.

    def _reload_by_signal(self) -> None:
        self.reload().addErrback(lambda failure: failure.trap(BalancerError) and None)  # every problem is in the log

    def reload(self) -> Deferred[dict[str, Any]]:
        """Read the configuration again and swap it in; one call is one whole reload, one after the other.

        All of it is read and built beside the loop, which goes on serving.

        Returns:
            Fires with a message. Fails with BalancerError, which has everything that is wrong; the running configuration
            stays.
        """
        return self._in_turn(self._reload)

    def _in_turn(self, doing: Callable[[], Coroutine[Any, Any, dict[str, Any]]]) -> Deferred[dict[str, Any]]:
        turn: Deferred[dict[str, Any]] = self._lock.run(lambda: Deferred.fromCoroutine(doing()))
        return turn

    def _check_running(self) -> tuple[DataPlane, SidePorts]:
        plane, side = self._plane, self._side
        if plane is None or side is None or self._stopping is not None or self._succession.is_over:
            raise BalancerError("the service is not running")
        return plane, side

    async def _reload(self) -> dict[str, Any]:
        plane, side = self._check_running()
        metrics = plane.runtime.observing.metrics
        began = time.monotonic()

        def read() -> tuple[Loaded, Snapshot]:
            found = loaded(self.file)
            snapshot = built(found, plane.runtime)
            found.config.forget_places()
            return found, snapshot

        try:
            found, snapshot = await self._beside.do(read)
            self._check_running()  # it may have been told to stop meanwhile
            if found.config.workers != 1:
                raise BalancerError("'workers' can be changed from 1 by a restart or an upgrade only")
            plane.listeners.prepare(snapshot)
            try:
                side.prepare(found.config)
            except BaseException:
                plane.listeners.abandon()
                raise
        except BalancerError as error:
            metrics.reload_refused()
            _log.error("reload refused, the running configuration stays: {error}", error=error)
            raise
        except Exception as error:  # a fault of ours, or of a plug-in where nobody expected one
            metrics.reload_refused()
            _log.failure("reload failed, the running configuration stays")
            raise BalancerError(f"the reload failed: {type(error).__name__}: {error}") from error
        old = plane.snapshot
        plane.swap(snapshot)
        side.swap(found.config)
        self.reloads += 1
        metrics.reloaded()
        took = (time.monotonic() - began) * 1000
        message = f"reloaded {self.file} in {took:.0f} ms"
        _log.info("{message}", message=message)
        self._beside.forget(old)
        return {"message": message}

    # What the admin API asks for.

    def reopen_logs(self) -> dict[str, Any]:
        """Open the access log anew, after it was moved away."""
        self._running().runtime.observing.reopen()
        return {"message": "access log reopened"}

    def status(self) -> dict[str, Any]:
        """Return the state of listeners, pools and servers as plain values."""
        plane, side = self._running(), self._side
        assert side is not None
        return {
            "version": __version__,
            "pid": os.getpid(),
            "file": str(self.file),
            "uptime": time.monotonic() - self._started,
            "reloads": self.reloads,
            "libraries": libraries(),
            "metrics": side.addresses("metrics"),
            "admin": side.addresses("admin"),
            **plane.status(),
        }

    outline = status

    def explain(self, question: Any) -> dict[str, Any]:
        """Return where a request would go now, see :mod:`.questions`; raises BalancerError."""
        snapshot = self._running().snapshot
        assert snapshot is not None
        return answer(snapshot, question)

    def plugins(self) -> dict[str, Any]:
        """Return the packages that are loaded and how their calls went, as plain values."""
        return self._running().plugins()

    def _releases(self) -> Releases:
        return self._running().runtime.releases

    def change_server(self, pool: str, server: str, wanted: Any) -> dict[str, Any]:
        """Change a server's weight, drain it, disable it or take it back, see :func:`~balancer.service.changes.change_server`."""
        now = change_server(self._running().snapshot, pool, server, Change.of(wanted))
        _log.info("{name} of pool {pool} is {state} now, weight {weight}", pool=pool, **now)
        return now

    def restore(self, pool: str, server: str | None) -> dict[str, Any]:
        """End ejections and close breakers of a server, or (None) of a pool; raises BalancerError if there is none of that name."""
        snapshot = self._running().snapshot
        checked(snapshot, pool, server)
        outcome = restored(pool, server, {"": restore(snapshot, pool, server)}, ())
        _log.info("{message}", message=outcome["message"])
        return outcome

    # Another process takes over.

    def _upgrade_by_signal(self) -> None:
        def refused(failure: Failure) -> None:
            failure.trap(BalancerError)
            _log.error("no upgrade: {error}", error=failure.value)

        self.upgrade().addErrback(refused)

    def upgrade(self) -> Deferred[dict[str, Any]]:
        """Start the command anew and let it take over; fails with BalancerError, and all goes on as before.

        A reload that is under way comes first.
        """
        return self._in_turn(self._upgrade)

    async def _upgrade(self) -> dict[str, Any]:
        plane, side = self._check_running()
        assert plane.snapshot is not None

        def hand_over() -> None:
            plane.listeners.hand_over()
            side.hand_over()
            plane.runtime.rest()

        state = [state for pool in plane.snapshot.pools.values() for state in state_of(pool)]
        left = [*plane.listeners.left(), *side.left()]
        return await self._succession.pass_on(left, plane.runtime.left(state), hand_over)

    # Stopping.

    def stopService(self) -> Deferred[None]:
        """Stop accepting, let what is in flight finish for ``graceful_timeout``, then cut; fires when all is closed."""
        if self._stopping is not None:
            return self._stopping
        super().stopService()
        self._signals.leave()
        plane, side = self._plane, self._side
        if plane is None or plane.snapshot is None or side is None:
            return succeed(None)
        in_flight, limit = plane.listeners.in_flight(), plane.snapshot.config.graceful_timeout
        if in_flight:
            _log.info("stopping: {limit} for {what} to finish", what=in_flight, limit=format_duration(limit))
        plane.runtime.rest()
        self._stopping = gatherResults([plane.drain(limit), *side.close()]).addCallback(lambda _: _log.info("stopped"))
        return self._stopping
