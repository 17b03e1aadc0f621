"""The service: opens listeners, runs pools, swaps snapshots, stops gracefully.

::

    privilegedStartService   build the snapshot, bind every address (ports below 1024 still can be)
    startService             probes and resolving begin, signals are listened to
    reload                   build whole → bind what is new → swap everything by reference → drain what is gone
    stopService              stop accepting, let exchanges in flight finish, then cut; the Deferred means "really done"

A reload that fails anywhere before the swap leaves everything as it was and says why.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prometheus_client.metrics_core import Metric
from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.logger import Logger

from balancer import __version__
from balancer.config.loading import Loaded
from balancer.errors import BalancerError
from balancer.model.units import format_duration
from balancer.observe.metrics import counter
from balancer.service.build import built, loaded
from balancer.service.listening import Listeners
from balancer.service.runtime import Runtime
from balancer.service.snapshot import Snapshot
from balancer.service.status import status_of

__all__ = ["BalancerService"]

_log = Logger()


class BalancerService(Service):
    """The balancer as a Twisted service.

    Args:
        reactor: everything runs on it.
        file: the configuration file, read again at each reload.
        first: the configuration as already read.
    """

    name = "balancer"

    def __init__(self, reactor: Any, file: Path, first: Loaded | None = None) -> None:
        self.file = file
        self.reloads = 0
        self.snapshot: Snapshot | None = None
        self._first = first
        self._reactor = reactor
        self._runtime: Runtime | None = None
        self._listeners: Listeners | None = None
        self._started = 0.0
        self._opened = False
        self._stopping: Deferred[None] | None = None
        self._signals: dict[int, Any] = {}

    # Starting.

    def privilegedStartService(self) -> None:
        """Build the first snapshot and bind every address.

        Raises:
            BalancerError: with everything that is wrong; nothing stays open then.
        """
        found = self._first or loaded(self.file)
        self._first = None
        runtime = self._runtime = Runtime(self._reactor)
        snapshot = built(found, runtime)
        found.config.forget_places()
        runtime.use(snapshot)
        listeners = self._listeners = Listeners(runtime, self)
        self._listen_to_signals()  # before anybody can see that the ports are open
        try:
            listeners.open(snapshot)
        except BaseException:
            self._leave_signals()
            listeners.close()
            raise
        self.snapshot = snapshot
        self._opened = True
        runtime.observing.metrics.watch(self._gauges)

    def _gauges(self) -> Iterable[Metric]:
        assert self._runtime is not None
        assert self.snapshot is not None
        assert self._listeners is not None
        yield from self._runtime.observing.gauges(self.snapshot, self._listeners)
        yield from self._runtime.overload.metrics()
        given_up = counter("idle_connections_given_up", "Idle server connections closed for want of descriptors.", ())
        given_up.add_metric((), self._runtime.given_up)
        yield given_up

    def startService(self) -> None:
        """Begin to probe servers and to resolve names; listen to signals."""
        super().startService()
        if not self._opened:
            self.privilegedStartService()
        assert self.snapshot is not None
        assert self._runtime is not None
        self._started = time.monotonic()
        self._runtime.observing.open()  # not before: the file is to be of the user that twistd became
        self._runtime.overload.lag.start()
        for pool in self.snapshot.pools.values():
            self._runtime.start(pool)

    def _listen_to_signals(self) -> None:
        calls = {signal.SIGHUP: self._reload_by_signal, signal.SIGUSR1: self.reopen_logs}
        for number, call in calls.items():
            try:
                self._signals[number] = signal.signal(
                    number,
                    lambda *_, call=call: self._reactor.callFromThread(call),
                )
            except ValueError:  # not the main thread: somebody else's program runs us, and has its own signals
                return

    def _leave_signals(self) -> None:
        while self._signals:
            signal.signal(*self._signals.popitem())

    # Reloading.

    def _reload_by_signal(self) -> None:
        try:
            self.reload()
        except BalancerError:
            pass  # reload() has written every problem to the log

    def reload(self) -> dict[str, Any]:
        """Read the configuration again and swap it in; one call is one whole reload.

        Raises:
            BalancerError: with everything that is wrong; the running configuration stays.
        """
        old, runtime, listeners = self.snapshot, self._runtime, self._listeners
        if old is None or runtime is None or listeners is None or self._stopping is not None:
            raise BalancerError("the service is not running")
        began = time.monotonic()
        try:
            found = loaded(self.file)
            snapshot = built(found, runtime)
            found.config.forget_places()
            listeners.prepare(snapshot)
        except BalancerError as error:
            runtime.observing.metrics.reload_refused()
            _log.error("reload refused, the running configuration stays: {error}", error=error)
            raise
        except Exception as error:  # a fault of ours, or of a plug-in where nobody expected one
            runtime.observing.metrics.reload_refused()
            _log.failure("reload failed, the running configuration stays")
            raise BalancerError(f"the reload failed: {type(error).__name__}: {error}") from error
        for name, pool in snapshot.pools.items():
            if name in old.pools:
                pool.adopt(old.pools[name])
        runtime.use(snapshot)
        listeners.swap(snapshot)
        self.snapshot = snapshot
        runtime.observing.open()
        for pool in snapshot.pools.values():
            runtime.start(pool)
        for pool in old.pools.values():
            pool.close()
        self.reloads += 1
        runtime.observing.metrics.reloaded()
        took = (time.monotonic() - began) * 1000
        message = f"reloaded {self.file} in {took:.0f} ms"
        _log.info("{message}", message=message)
        return {"message": message}

    # What the admin API asks for.

    def reopen_logs(self) -> dict[str, Any]:
        """Open the access log anew, after it was moved away."""
        assert self._runtime is not None
        self._runtime.observing.reopen()
        return {"message": "access log reopened"}

    def status(self) -> dict[str, Any]:
        """Return the state of listeners, pools and servers as plain values."""
        if self.snapshot is None or self._listeners is None or self._runtime is None:
            raise BalancerError("the service is not running")
        return {
            "version": __version__,
            "file": str(self.file),
            "uptime": time.monotonic() - self._started,
            "reloads": self.reloads,
            "overload": self._runtime.overload.report(),
            **status_of(self.snapshot, self._listeners),
        }

    def plugins(self) -> dict[str, Any]:
        """Return the packages that are loaded and how their calls went, as plain values."""
        if self.snapshot is None:
            raise BalancerError("the service is not running")
        registry = self.snapshot.registry
        return {"packages": registry.report(), "accounts": [account.report() for account in registry.accounts()]}

    def change_server(self, pool: str, server: str, *, weight: int | None, drain: bool | None) -> dict[str, Any]:
        """Change a server's weight, or drain it (True) or take it back (False).

        Raises:
            BalancerError: if there is no such pool or server.
        """
        assert self.snapshot is not None
        found = self.snapshot.pools.get(pool)
        if found is None:
            raise BalancerError(f"there is no pool {pool!r}; pools: {', '.join(self.snapshot.pools)}")
        for each in found.servers:
            if each.name == server:
                if weight is not None:
                    found.set_weight(each, weight)
                if drain is not None:
                    (each.drain if drain else each.undrain)()
                _log.info(
                    "{server} of pool {pool} is {state} now, weight {weight}",
                    server=each.name,
                    pool=pool,
                    state=each.state,
                    weight=each.weight,
                )
                return {
                    "name": each.name,
                    "state": each.state,
                    "draining": each.draining,
                    "weight": each.weight,
                }
        raise BalancerError(
            f"pool {pool!r} has no server {server!r}; servers: {', '.join(s.name for s in found.servers)}"
        )

    # Stopping.

    def stopService(self) -> Deferred[None]:
        """Stop accepting, let what is in flight finish for ``graceful_timeout``, then cut; fires when all is closed."""
        if self._stopping is not None:
            return self._stopping
        super().stopService()
        self._leave_signals()
        if self.snapshot is None or self._listeners is None or self._runtime is None:
            return succeed(None)
        snapshot, listeners, runtime = self.snapshot, self._listeners, self._runtime
        in_flight = listeners.in_flight()
        if in_flight:
            limit = format_duration(snapshot.config.graceful_timeout)
            _log.info("stopping: {limit} for {what} to finish", what=in_flight, limit=limit)
        self._stopping = gatherResults([listeners.drain(snapshot.config.graceful_timeout)]).addCallback(lambda _: None)

        def drained(_: None) -> None:
            for pool in snapshot.pools.values():
                pool.stop()
                for server in pool.servers:
                    server.idle.close()
            runtime.close()
            _log.info("stopped")

        self._stopping.addCallback(drained)
        return self._stopping
