"""What serves traffic in one process: the snapshot of the moment, its listeners and pools, and how the next follows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client.metrics_core import Metric
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from balancer.errors import BalancerError
from balancer.listeners.opening import Opening
from balancer.observe.metrics import counter
from balancer.service.listening import Listeners
from balancer.service.runtime import Runtime
from balancer.service.snapshot import Snapshot
from balancer.service.status import status_of

__all__ = ["DataPlane"]

_log = Logger()


class DataPlane:
    """Serves by one snapshot after another.

    Args:
        runtime: what outlives snapshots.
        opening: where the listeners' sockets come from; by default they are bound here.
    """

    def __init__(self, runtime: Runtime, opening: Opening | None = None) -> None:
        self.runtime = runtime
        self.snapshot: Snapshot | None = None
        self.listeners = Listeners(runtime, opening or Opening(runtime.reactor))
        runtime.observing.metrics.watch(self._gauges)

    def _gauges(self) -> Iterator[Metric]:
        if self.snapshot is None:
            return
        runtime = self.runtime
        yield from runtime.observing.gauges(self.snapshot, self.listeners)
        yield from runtime.overload.metrics()
        given_up = counter("idle_connections_given_up", "Idle server connections closed for want of descriptors.", ())
        given_up.add_metric((), runtime.given_up)
        yield given_up
        yield from runtime.told()

    def swap(self, snapshot: Snapshot) -> None:
        """Serve by ``snapshot`` from now on, for which the listeners are prepared; what goes on, goes on."""
        old = self.snapshot
        if old is not None:
            for name, pool in snapshot.pools.items():
                if name in old.pools:
                    pool.adopt(old.pools[name])
        self.runtime.use(snapshot)
        self.listeners.swap(snapshot)
        self.snapshot = snapshot
        if old is not None:
            self._run()
            for gone in old.pools.values():
                gone.close()

    def start(self) -> None:
        """Open the log; begin to measure the event loop, to probe servers and to resolve names."""
        self.runtime.reactor.callWhenRunning(self.runtime.overload.lag.start)
        self._run()

    def _run(self) -> None:
        self.runtime.observing.open()  # not before: the file is to be of the user that twistd became
        if self.snapshot is not None:
            for pool in self.snapshot.pools.values():
                self.runtime.start(pool)

    def status(self) -> dict[str, Any]:
        """Return the state of listeners, pools and servers as plain values."""
        if self.snapshot is None:
            raise BalancerError("the service is not running")
        runtime = self.runtime
        told = {
            "overload": runtime.overload.report(),
            "acme": runtime.ordering.report(),
            "splits": runtime.releases.report(),
        }
        return {**told, **status_of(self.snapshot, self.listeners)}

    def plugins(self) -> dict[str, Any]:
        """Return the packages that are loaded and how their calls went, as plain values."""
        if self.snapshot is None:
            raise BalancerError("the service is not running")
        registry = self.snapshot.registry
        return {"packages": registry.report(), "accounts": [account.report() for account in registry.accounts()]}

    def drain(self, timeout: float) -> Deferred[None]:
        """Stop accepting, let what is in flight finish for ``timeout`` seconds, then cut; fires when all is closed."""

        def drained(_: None) -> None:
            self.runtime.mirrors.drop()
            for pool in () if self.snapshot is None else self.snapshot.pools.values():
                pool.stop()
                for server in pool.servers:
                    server.close_idle()
            self.runtime.close()

        return self.listeners.drain(timeout).addCallback(drained)
