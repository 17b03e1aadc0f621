"""The open listeners of a service, and how they change at a reload without a socket being closed that is still wanted.

A listener is known by its name and protocol. At a reload one that stays is given its new settings; if its addresses
changed, it binds the added ones first and closes the others at the swap. One that is gone is drained. What is new is
bound before anything is swapped, so that an address that cannot be had refuses the reload.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from balancer.config.listeners import AnyListener, TcpListener, UdpListener
from balancer.config.schema import Config
from balancer.listeners.http.listener import HTTPListener
from balancer.listeners.http.site import Site
from balancer.listeners.opening import Opening
from balancer.listeners.tcp import TCPListener, TCPSettings
from balancer.listeners.udp import UDPListener, UDPSettings
from balancer.model.units import counted
from balancer.service.inheritance import Left
from balancer.service.runtime import Runtime
from balancer.service.snapshot import ListenerSettings, Snapshot

__all__ = ["AnyOpenListener", "Listeners", "binds_of", "goes_on_as"]

AnyOpenListener = HTTPListener | TCPListener | UDPListener


class Listeners:
    """Every open listener.

    Args:
        runtime: clock, timers, gates and observers that outlive snapshots.
        opening: where the listeners' sockets come from.
    """

    def __init__(self, runtime: Runtime, opening: Opening) -> None:
        self._runtime = runtime
        self._opening = opening
        self._open: dict[str, AnyOpenListener] = {}
        self._prepared: dict[str, AnyOpenListener] = {}
        self._fresh: list[AnyOpenListener] = []
        self._grown: list[AnyOpenListener] = []
        self._leaving: set[AnyOpenListener] = set()

    def prepare(self, snapshot: Snapshot) -> None:
        """Bind what is new in ``snapshot``; raises BalancerError, and leaves everything as it was, if that fails."""
        config = snapshot.config
        prepared: dict[str, AnyOpenListener] = {}
        grown: list[AnyOpenListener] = []
        fresh: list[AnyOpenListener] = []
        try:
            for name, settings in config.listeners.items():
                known = self._known(name, settings, config)
                binds = binds_of(settings)
                if known is not None:
                    grown.append(known)
                    known.bind_more(binds)
                    prepared[name] = known
                else:
                    listener = self._made(name, settings, snapshot.listeners[name])
                    listener.open()
                    fresh.append(listener)
                    prepared[name] = listener
        except BaseException:
            self._fresh, self._grown = fresh, grown
            self.abandon()
            raise
        self._prepared, self._fresh, self._grown = prepared, fresh, grown

    def abandon(self) -> None:
        """Close what :meth:`prepare` has bound."""
        for listener in self._fresh:
            listener.drain(0.0)
        for known in self._grown:
            known.keep_only(known.binds)
        self._prepared, self._fresh, self._grown = {}, [], []

    def swap(self, snapshot: Snapshot) -> None:
        """Serve by ``snapshot`` from now on; drain the listeners that it does not have any more."""
        config = snapshot.config
        for name, listener in self._prepared.items():
            settings = config.listeners[name]
            listener.name = name
            listener.gate.connections = settings.limits.connections
            listener.gate.per_client = settings.limits.connections_per_client
            listener.swap(snapshot.listeners[name])  # type: ignore[arg-type]  # _known() and _made() pair the kinds
            listener.keep_only(binds_of(settings))
        for listener in self._open.values():
            if listener not in self._prepared.values():
                self._leaving.add(listener)
                listener.drain(config.graceful_timeout).addCallback(partial(self._left, listener))
        self._open, self._prepared = self._prepared, {}
        self._fresh, self._grown = [], []

    def _known(self, name: str, settings: AnyListener, wanted: Config) -> AnyOpenListener | None:
        """Return the open listener that goes on as ``name``: of that name, or one renamed, with the same addresses."""
        kind = _KINDS[settings.protocol]
        open_now = {old: (listener.binds, isinstance(listener, kind)) for old, listener in self._open.items()}
        old = goes_on_as(name, settings, open_now, wanted)
        return None if old is None else self._open[old]

    def _made(self, name: str, settings: AnyListener, what: ListenerSettings) -> AnyOpenListener:
        runtime = self._runtime
        reactor, wheel = runtime.reactor, runtime.wheel
        gate = runtime.gate_below(name, settings.limits.connections, settings.limits.connections_per_client)
        binds = binds_of(settings)
        note = runtime.overload.lag.note
        if isinstance(settings, UdpListener):
            assert isinstance(what, UDPSettings)
            return UDPListener(reactor, name, binds, what, gate, wheel, runtime.observe_session, self._opening)
        if isinstance(settings, TcpListener):
            assert isinstance(what, TCPSettings)
            tcp = TCPListener(
                reactor,
                name,
                binds,
                what,
                gate,
                wheel,
                runtime.observe_session,
                settings.backlog,
                runtime.pipes,
                note,
                runtime.connect_session,
                self._opening,
            )
            tcp.short_of_descriptors = runtime.relieve
            return tcp
        assert isinstance(what, Site)
        http = HTTPListener(reactor, name, binds, what, gate, wheel, settings.backlog, note, self._opening)
        http.short_of_descriptors = runtime.relieve
        return http

    # Looking, and ending.

    def __iter__(self) -> Iterator[AnyOpenListener]:
        return iter(self._open.values())

    def left(self) -> list[Left]:
        """Return the sockets, for a process that takes over."""
        return [
            (listener.name, bind, [descriptor])
            for listener in self._open.values()
            for bind, descriptor in listener.descriptors.items()
        ]

    def hand_over(self) -> None:
        """Accept no more: another process does."""
        for listener in self._open.values():
            listener.hand_over()

    def end_flows(self) -> None:
        """Close UDP sockets at once: as long as they are open here, the kernel gives us clients that are others' to serve."""
        for listener in self._open.values():
            if isinstance(listener, UDPListener):
                listener.keep_only(())

    def in_flight(self) -> str:
        """Return how many connections and UDP flows there are, in words; "" where there are none."""
        connections = flows = 0
        for each in [*self._open.values(), *self._leaving]:
            if isinstance(each, UDPListener):
                flows += each.gate.active
            else:
                connections += each.gate.active
        parts = ((connections, "connection"), (flows, "UDP flow"))
        return " and ".join(counted(count, noun) for count, noun in parts if count)

    def close(self) -> None:
        """Close every socket at once; for a start that failed."""
        for listener in self._open.values():
            listener.stop_accepting()

    def _left(self, listener: AnyOpenListener, _: object) -> None:
        self._leaving.discard(listener)

    def drain(self, timeout: float) -> Deferred[None]:
        """Drain every listener; fires when the last connection is gone and every socket closed."""
        draining: list[Any] = [listener.drain(timeout) for listener in self._open.values()]
        waiting = [each for each in draining if isinstance(each, Deferred)]
        return gatherResults(waiting).addCallback(lambda _: None)


_KINDS = {"http": HTTPListener, "tcp": TCPListener, "udp": UDPListener}


def binds_of(settings: AnyListener) -> tuple[str, ...]:
    """Return the texts of where a listener listens."""
    return tuple(str(bind) for bind in settings.bind)


def goes_on_as(
    name: str, settings: AnyListener, open_now: Mapping[str, tuple[Sequence[str], bool]], wanted: Config
) -> str | None:
    """Return the name of the open listener that goes on as ``name``: of that name, or renamed, with the same addresses.

    ``open_now`` gives, by name, the addresses of those that are open and whether they are of the same kind.
    """
    if name in open_now:
        return name if open_now[name][1] else None
    binds = set(binds_of(settings))
    for old, (old_binds, same_kind) in open_now.items():
        if old not in wanted.listeners and same_kind and set(old_binds) == binds:
            return old
    return None
