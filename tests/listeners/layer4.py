"""What tests of layer-4 listeners have in common: pools over given servers, one listener, its records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from balancer.listeners.accept import Gate
from balancer.listeners.tcp import TCPListener, TCPSettings
from balancer.listeners.udp import UDPListener, UDPSettings
from balancer.model.address import Address
from balancer.net.splice import Pipes
from balancer.net.timers import Wheel
from balancer.observe.records import SessionRecord
from balancer.pools.algorithms.round_robin import RoundRobin
from balancer.pools.pool import Pool, PoolTimeouts
from balancer.pools.retry import RetrySettings
from balancer.pools.server import Server
from balancer.routing.l4 import L4Route, L4Routes


def pool(*servers: str | Address, name: str = "pool", attempts: int = 2, connect: float = 3.0, **server: Any) -> Pool:
    """Return a round-robin pool of servers at these addresses."""
    made = [Server(Address.parse(address) if isinstance(address, str) else address, **server) for address in servers]
    return Pool(
        name,
        made,
        RoundRobin(),
        clock=reactor,
        timeouts=PoolTimeouts(connect=connect),
        retry=RetrySettings(attempts=attempts),
    )


@inlineCallbacks
def until(condition: Callable[[], object]) -> Any:
    """Let the reactor work until ``condition()`` is true; the test's own time limit bounds it."""
    while not condition():
        yield deferLater(reactor, 0.002)


class Layer4TestCase(TestCase):
    """Listeners on the real reactor, closed with their sessions at the end."""

    timeout = 20

    def setUp(self) -> None:
        self.wheel = Wheel(reactor, tick=0.02)
        self.gate = Gate()
        self.records: list[SessionRecord] = []
        self.pipes: Pipes | None = Pipes()
        self.addCleanup(self.pipes.close)

    def tcp(
        self, to: Pool | None, *binds: str, idle: float = 600.0, routes: tuple[L4Route, ...] | None = None
    ) -> TCPListener:
        """Return an open TCP listener that leads to ``to``."""
        listener = TCPListener(
            reactor,
            "l4",
            binds or ("127.0.0.1:0",),
            self.tcp_settings(to, idle, routes),
            self.gate,
            self.wheel,
            self.records.append,
            pipes=self.pipes,
        )
        listener.open()
        self.addCleanup(listener.drain, 0.0)
        return listener

    def tcp_settings(
        self, to: Pool | None, idle: float = 600.0, routes: tuple[L4Route, ...] | None = None
    ) -> TCPSettings:
        if routes is None:
            routes = () if to is None else (L4Route("all", to.name),)
        return TCPSettings(L4Routes(routes), {} if to is None else {to.name: to}, idle)

    def udp(self, to: Pool | None, *binds: str, **limits: Any) -> UDPListener:
        """Return an open UDP listener that leads to ``to``."""
        listener = UDPListener(
            reactor,
            "l4",
            binds or ("127.0.0.1:0",),
            self.udp_settings(to, **limits),
            self.gate,
            self.wheel,
            self.records.append,
        )
        listener.open()
        self.addCleanup(listener.drain, 0.0)
        return listener

    def udp_settings(self, to: Pool | None, **limits: Any) -> UDPSettings:
        routes = L4Routes(() if to is None else (L4Route("all", to.name),))
        return UDPSettings(routes, {} if to is None else {to.name: to}, **limits)

    def recorded(self, count: int = 1) -> Deferred[Any]:
        """Fire when ``count`` sessions have ended."""
        return until(lambda: len(self.records) >= count)
