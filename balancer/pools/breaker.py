"""The circuit breakers of a pool: one for each server, or one for all of them.

What a :class:`~balancer.pools.circuit.Circuit` decides is put into effect here: a server whose breaker lets nothing pass is
``tripped`` and left out as if it were down, though panic never uses it; a pool whose own breaker does refuses everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from balancer.pools.circuit import Circuit, CircuitState, TripSettings
from balancer.pools.events import BreakerClosed, BreakerHalfOpened, BreakerOpened

if TYPE_CHECKING:
    from balancer.pools.pool import Pool
    from balancer.pools.server import Server

__all__ = ["Breaker"]

_EVENTS = {CircuitState.CLOSED: BreakerClosed, CircuitState.HALF_OPEN: BreakerHalfOpened}


class Breaker:
    """Trips, and mends.

    Args:
        settings: when.
        pool: whose.
        clock: the reactor's.

    ``trips`` counts how often one has opened.
    """

    def __init__(self, settings: TripSettings, pool: Pool, clock: IReactorTime) -> None:
        self.settings = settings
        self.trips = 0
        self._pool = pool
        self._clock = clock
        self._circuits: dict[Server | None, Circuit] = {}
        self._calls: dict[Server | None, IDelayedCall] = {}

    def circuit(self, server: Server | None) -> Circuit:
        """Return the circuit that ``server``'s exchanges go through, or (None) that of the pool."""
        whose = None if self.settings.of == "pool" else server
        found = self._circuits.get(whose)
        if found is None:
            found = self._circuits[whose] = Circuit(self.settings)
        return found

    @property
    def bars(self) -> Circuit | None:
        """The pool's own circuit, if it lets nothing pass."""
        if self.settings.of != "pool":
            return None
        circuit = self.circuit(None)
        return None if circuit.lets_pass else circuit

    def began(self, server: Server) -> None:
        """Note that an exchange or session begins."""
        if self.circuit(server).began():
            self._apply(server)

    def ended(self, server: Server, failed: bool, seconds: float) -> None:
        """Learn from the end of one."""
        circuit = self.circuit(server)
        before = circuit.state
        if circuit.ended(self._clock.seconds(), failed, seconds):
            self._changed(server, circuit, before)

    def restore(self, server: Server | None, reason: str) -> bool:
        """Close the breaker of ``server``, or (None) of the pool, because of ``reason``, and forget what it has counted.

        Returns whether it was not closed; False if there is none.
        """
        if (server is None) is not (self.settings.of == "pool"):
            return False
        circuit = self.circuit(server)
        before = circuit.state
        restored = circuit.restore(self._clock.seconds())
        if restored:
            self._changed(server, circuit, before, reason)
        return restored

    def report(self, server: Server | None) -> dict[str, Any] | None:
        """Return what is known of the breaker of ``server``, or (None) of the pool: see :meth:`Circuit.report`; None if there is none."""
        if (server is None) is not (self.settings.of == "pool"):
            return None
        return self.circuit(server).report(self._clock.seconds())

    def _changed(self, server: Server | None, circuit: Circuit, before: CircuitState, reason: str = "") -> None:
        whose = None if self.settings.of == "pool" else server
        if circuit.state is not before:
            self._watch(whose, circuit)
            name, pool = "" if whose is None else whose.name, self._pool
            if circuit.state is CircuitState.OPEN:
                self.trips += 1
                seconds = circuit.until - self._clock.seconds()
                pool.observe(BreakerOpened(pool.name, name, circuit.reason, seconds))
            else:
                pool.observe(_EVENTS[circuit.state](pool.name, name, reason))
        self._apply(whose)

    def _apply(self, server: Server | None) -> None:
        if server is not None and self.settings.of == "server":
            circuit = self.circuit(server)
            server.tripped = "" if circuit.lets_pass else circuit.reason
            self._pool.refresh()
        elif self._pool.queue.waiting:
            self._pool.queue.serve()

    def _watch(self, whose: Server | None, circuit: Circuit) -> None:
        call = self._calls.pop(whose, None)
        if call is not None:
            call.cancel()
        if circuit.state is not CircuitState.CLOSED:
            left = max(0.0, circuit.until - self._clock.seconds())
            self._calls[whose] = self._clock.callLater(left, self._time_is_up, whose)

    def _time_is_up(self, whose: Server | None) -> None:
        del self._calls[whose]
        circuit = self._circuits[whose]
        before = circuit.state
        circuit.time_is_up(self._clock.seconds())
        if circuit.state is before:
            self._watch(whose, circuit)
        self._changed(whose, circuit, before)

    def take_over(self, old: Breaker) -> None:
        """Go on with the states that ``old`` has found, where the breakers are of the same kind."""
        self.trips = old.trips
        if old.settings.of != self.settings.of:
            return
        servers = set(self._pool.servers)
        for whose, circuit in old._circuits.items():
            if whose is None or whose in servers:
                circuit.settings = self.settings
                self._circuits[whose] = circuit
                self._watch(whose, circuit)
                if whose is not None:
                    whose.tripped = "" if circuit.lets_pass else circuit.reason

    def stop(self) -> None:
        """Let no time be up any more."""
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.cancel()

    def __repr__(self) -> str:
        return f"<Breaker of each {self.settings.of}, {self.trips} trips>"
