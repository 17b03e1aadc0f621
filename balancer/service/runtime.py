"""What outlives snapshots: clock, timers, gates, the log, the metrics, and how servers are connected to."""

from __future__ import annotations

import random
import resource
import secrets
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Site as TwistedSite

from balancer.errors import ExchangeError
from balancer.forwarding.server_connection import ServerConnection
from balancer.listeners.accept import Gate
from balancer.model.address import Address
from balancer.net.connecting import connect
from balancer.net.splice import Pipes
from balancer.net.timers import Wheel
from balancer.pools.pool import Pool
from balancer.pools.server import Server
from balancer.service.observing import Observing
from balancer.service.snapshot import Snapshot
from balancer.wire.ids import new_id

__all__ = ["Runtime"]


def default_connections() -> int:
    """Return how many client connections the descriptors allow: 80 % of half, the other half is for servers."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, int(soft / 2 * 0.8))


class Runtime:
    """One per service.

    Args:
        reactor: everything runs on it.
    """

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.wheel = Wheel(reactor)
        self.pipes = Pipes()
        self.observing = Observing(reactor)
        self.observe_exchange = self.observing.exchange
        self.observe_session = self.observing.session
        self.draw = random.random
        self.new_id = new_id
        self.secret = secrets.token_hex(32)
        self.twisted_site = TwistedSite(Resource(), reactor=reactor)
        self._gate = Gate()

    def use(self, snapshot: Snapshot) -> None:
        """Take the limits and the observers of ``snapshot`` into use."""
        limits = snapshot.config.limits
        self._gate.connections = limits.connections if limits.connections is not None else default_connections()
        self._gate.per_client = limits.connections_per_client
        self.observing.use(snapshot)

    def start(self, pool: Pool) -> None:
        """Let ``pool`` begin to probe and to look up names."""
        pool.start(self.connect, self.reactor.nameResolver)

    def gate_below(self, connections: int | None, per_client: int | None) -> Gate:
        """Return a listener's gate, below the one of the whole process."""
        return Gate(connections, per_client, above=self._gate)

    def connect_http(self, server: Server, timeout: float) -> Deferred[ServerConnection]:
        """Open an HTTP connection to ``server``."""
        endpoint = server.next_endpoint()
        connecting = connect(self.reactor, endpoint, ServerConnection(server, self.wheel), timeout, self.wheel)

        def failed(failure: Failure) -> Failure:
            if failure.check(ExchangeError):
                server.endpoint_failed(endpoint)
            return failure

        return connecting.addErrback(failed)

    def connect(self, address: Address, protocol: Any, timeout: float) -> Deferred[Any]:
        """Open a connection for a probe."""
        return connect(self.reactor, address, protocol, timeout, self.wheel)

    def close(self) -> None:
        """Write out what is not written yet."""
        self.observing.close()
