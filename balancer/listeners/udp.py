"""A UDP listener: a bounded table of flows, keyed by the client's address and the one of ours that it wrote to.

A datagram of a client without a flow begins one, if the gate, the table and the routes allow; otherwise it is dropped
and counted in :attr:`UDPListener.dropped`. Settings can be replaced at any time; flows finish on what they began with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed

from balancer import errors
from balancer.forwarding.datagrams import Flow
from balancer.forwarding.session import SHUTDOWN
from balancer.listeners.accept import Gate
from balancer.listeners.opening import Opening
from balancer.listeners.shedding import NEVER, Shedding
from balancer.listeners.udp_clients import Client, Resting
from balancer.net.datagram_socket import DatagramSocket
from balancer.net.datagrams import Origin
from balancer.net.timers import Wheel
from balancer.net.trains import Batch
from balancer.net.watching import Watch
from balancer.observe.records import SessionRecord
from balancer.routing.l4 import L4Routes, decide

if TYPE_CHECKING:
    from balancer.pools.pool import Pool

__all__ = ["UDPListener", "UDPSettings"]

TABLE_FULL = "session_table_full"
NOT_ADMITTED = errors.CONNECTION_LIMIT_REACHED.code
OVERLOADED = errors.OVERLOADED.code
NO_ROUTE = errors.DESTINATION_NOT_FOUND.code


@dataclass(frozen=True, slots=True)
class UDPSettings:
    """What a reload may change: routes, pools by name, and what ends a flow.

    ``session_timeout`` in seconds; ``max_sessions`` flows at a time; ``responses`` to each datagram after which its
    flow ends, None where that is not known; ``shedding`` says who is turned away.
    """

    routes: L4Routes
    pools: Mapping[str, Pool]
    session_timeout: float = 30.0
    max_sessions: int = 10_000
    responses: int | None = None
    shedding: Shedding = NEVER


class UDPListener:
    """Receives datagrams and forwards each client's to a server.

    Args:
        reactor: watches the sockets and tells the time.
        name: the listener's name, for records.
        binds: where to listen, as for :class:`~balancer.net.datagrams.DatagramPort`.
        settings: routes, pools, limits.
        gate: admits flows as it does connections.
        wheel: the shared timer.
        observe: called with the :class:`~balancer.observe.records.SessionRecord` of each flow when it has ended.
        opening: where the sockets come from; by default they are bound here.
    """

    def __init__(
        self,
        reactor: Any,
        name: str,
        binds: Sequence[str],
        settings: UDPSettings,
        gate: Gate,
        wheel: Wheel,
        observe: Callable[[SessionRecord], Any],
        opening: Opening | None = None,
    ) -> None:
        self.name = name
        self.gate = gate
        self.sessions = 0
        self.dropped: Counter[str] = Counter()
        """Datagrams not forwarded, by reason."""
        self._reactor = reactor
        self.binds = tuple(binds)
        self._settings = settings
        self._wheel = wheel
        self._observe = observe
        self._opening = opening or Opening(reactor)
        self._accepting = True
        self._ports: dict[str, _Table] = {}
        self._watch = Watch(reactor)
        self.connect = partial(DatagramSocket, self._watch)
        """Makes a socket to a server."""
        self._drained: Deferred[None] | None = None

    def open(self) -> None:
        """Bind every address; all or none.

        Raises:
            BalancerError: naming the address that cannot be had.
        """
        self.bind_more(self.binds)

    def bind_more(self, binds: Sequence[str]) -> None:
        """Bind what of ``binds`` is not bound yet; all or none. Raises as :meth:`open`."""
        opened: list[str] = []
        try:
            for bind in binds:
                if bind not in self._ports:
                    self._ports[bind] = _Table(self, self._opening, self._watch, self._wheel, bind)
                    opened.append(bind)
        except BaseException:
            for bind in opened:
                self._ports.pop(bind).close()
            raise

    def keep_only(self, binds: Sequence[str]) -> Deferred[None]:
        """Close every socket that is not of ``binds``, and end its flows."""
        self.binds = tuple(binds)
        for bind in [bind for bind in self._ports if bind not in binds]:
            table = self._ports.pop(bind)
            for flow in tuple(table.flows.values()):
                flow.end(SHUTDOWN)
            table.close()
        return succeed(None)

    @property
    def descriptors(self) -> dict[str, int]:
        """The sockets' descriptors by the text of their ``bind``."""
        return {bind: table.port.fileno() for bind, table in self._ports.items()}

    def hand_over(self) -> None:
        """Receive no more here: another process has the sockets. What servers still answer goes to the clients."""
        self._accepting = False
        for table in self._ports.values():
            table.port.stop_receiving()
        self._rest_no_more()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens, in the form of ``bind``, with real ports."""
        return tuple(str(table.port.address) for table in self._ports.values())

    def swap(self, settings: UDPSettings) -> None:
        """Use ``settings`` for flows that begin from now on."""
        self._settings = settings

    def stop_accepting(self) -> Deferred[None]:
        """Begin no flow any more; those there are go on."""
        self._accepting = False
        self._rest_no_more()
        return succeed(None)

    def drain(self, timeout: float) -> Deferred[None]:
        """Begin no flow any more, let those there are end for ``timeout`` seconds, then end them; close the sockets."""
        self._accepting = False
        self._rest_no_more()
        if not self.sessions:
            self._close()
            return succeed(None)
        drained: Deferred[None] = Deferred()
        self._drained = drained
        limit = self._wheel.schedule(timeout, self._end_all)

        def done(_: None) -> None:
            limit.cancel()
            self._close()

        return drained.addCallback(done)

    @property
    def one_by_one(self) -> bool:
        """Whether each datagram is a flow of its own."""
        return self._settings.responses == 0

    def begin(self, count: int, client: Client, ended: Callable[[Flow], Any]) -> Flow | None:
        """Begin a flow of ``client`` with its first ``count`` datagrams, or count why not and return None."""
        settings = self._settings
        if not self._accepting:
            self.dropped[SHUTDOWN] += count
            return None
        if self.sessions >= settings.max_sessions:
            self.dropped[TABLE_FULL] += count
            return None
        if settings.shedding.share and settings.shedding.sheds(self.name):
            self.dropped[OVERLOADED] += 1
            return None
        facts = client.facts
        decision = decide(settings.routes, facts)
        if decision.pool is None:
            self.dropped[NO_ROUTE] += count
            return None
        if not self.gate.admit(facts.peer.host):
            self.dropped[NOT_ADMITTED] += count
            return None
        self.sessions += 1
        record = SessionRecord("udp")
        record.listener = self.name
        record.route = decision.route
        return Flow(
            self._reactor,
            self._wheel,
            client.connect,
            settings.pools[decision.pool],
            facts,
            record,
            settings.session_timeout,
            settings.responses,
            client.path.send,
            ended,
            client.keep if settings.responses else None,
        )

    def ended(self, flow: Flow) -> None:
        """Take note that ``flow`` is over."""
        self.sessions -= 1
        record = flow.record
        self.gate.leave(record.client)
        if not record.server:
            self.dropped[record.reason] += record.datagrams_in
        self._observe(record)
        if not self.sessions and self._drained is not None:
            drained, self._drained = self._drained, None
            drained.callback(None)

    @property
    def accepting(self) -> bool:
        """Whether flows begin."""
        return self._accepting

    def _rest_no_more(self) -> None:
        for table in self._ports.values():
            table.resting.close()

    def _end_all(self) -> None:
        for table in self._ports.values():
            for flow in tuple(table.flows.values()):
                flow.end(SHUTDOWN)

    def _close(self) -> None:
        ports, self._ports = self._ports, {}
        for table in ports.values():
            table.close()

    def __repr__(self) -> str:
        return f"<UDPListener {self.name} on {', '.join(self.addresses) or 'nothing'}, {self.sessions} flows>"


class _Table:
    """The flows of one bound socket."""

    def __init__(self, listener: UDPListener, opening: Opening, watch: Watch, wheel: Wheel, bind: str) -> None:
        self._listener = listener
        self.flows: dict[Origin, Flow] = {}
        self.resting = Resting(wheel)
        self.port = opening.datagrams(listener.name, bind, watch, self._received)

    def _received(self, batch: Batch, origin: Origin) -> None:
        if self._listener.one_by_one:
            for slot in batch:
                for each in slot.datagrams():
                    self._start([each], origin)
        else:
            self._start(batch, origin)

    def _start(self, batch: Batch, origin: Origin) -> None:
        """Begin a flow."""
        flow = self._begin(batch, origin)
        if flow is not None:
            flow.forward(batch)

    def _begin(self, batch: Batch, origin: Origin) -> Flow | None:
        client = self.resting.take(origin)
        if client is None:
            client = Client(self.port.path(origin), self.port.address.port, self._listener.connect)
        count = 1 if len(batch) == 1 and not batch[0].segment else sum(slot.count for slot in batch)
        flow = self._listener.begin(count, client, partial(self._ended, origin, client))
        if flow is None:
            client.close()
        else:
            self.flows[origin] = flow
            self.port.sinks[origin] = flow.forward
        return flow

    def _ended(self, origin: Origin, client: Client, flow: Flow) -> None:
        del self.flows[origin]
        del self.port.sinks[origin]
        if client.socket is not None:
            if self._listener.accepting:
                self.resting.put(origin, client)
            else:
                client.close()
        self._listener.ended(flow)

    def close(self) -> None:
        """Close the socket, and those that rest."""
        self.port.close()
        self.resting.close()
