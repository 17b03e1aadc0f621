"""The open listeners of a service, and how they change at a reload without a socket being closed that is still wanted.

A listener is known by its name and protocol. At a reload one that stays is given its new settings; if its addresses
changed, it binds the added ones first and closes the others at the swap. One that is gone is drained. What is new is
bound before anything is swapped, so that an address that cannot be had refuses the reload.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IListeningPort
from twisted.web.http import Request, combinedLogFormatter, datetimeToLogString
from twisted.web.iweb import IAccessLogFormatter
from twisted.web.resource import IResource, Resource
from twisted.web.server import Site as TwistedSite
from zope.interface import provider

from balancer.config.listeners import AnyListener, TcpListener, UdpListener
from balancer.config.schema import Config
from balancer.listeners.http.listener import HTTPListener
from balancer.listeners.http.site import Site
from balancer.listeners.tcp import TCPListener, TCPSettings
from balancer.listeners.udp import UDPListener, UDPSettings
from balancer.model.units import counted
from balancer.net.listening import describe, listen
from balancer.observe.metrics import MetricsResource
from balancer.service.admin import AdminResource
from balancer.service.runtime import Runtime
from balancer.service.snapshot import ListenerSettings, Snapshot

if TYPE_CHECKING:
    from balancer.service.service import BalancerService

__all__ = ["AnyOpenListener", "Listeners"]

AnyOpenListener = HTTPListener | TCPListener | UDPListener


class Listeners:
    """Every open listener, the metrics listener and the admin listener.

    Args:
        runtime: clock, timers, gates and observers that outlive snapshots.
        service: what the admin API administers.
    """

    def __init__(self, runtime: Runtime, service: BalancerService) -> None:
        self._runtime = runtime
        self._service = service
        self._open: dict[str, AnyOpenListener] = {}
        self._prepared: dict[str, AnyOpenListener] = {}
        self._metrics_site = self._side_site(MetricsResource(runtime.observing.metrics))
        self._admin_site = self._side_site(Resource())
        self._side_ports: dict[str, dict[str, IListeningPort]] = {"metrics": {}, "admin": {}}
        self._side_prepared: dict[str, dict[str, IListeningPort]] = {}
        self._leaving: set[AnyOpenListener] = set()

    def _side_site(self, root: IResource) -> TwistedSite:
        return TwistedSite(root, logFormatter=_log_line, reactor=self._runtime.reactor)

    def open(self, snapshot: Snapshot) -> None:
        """Bind everything that ``snapshot`` names; raises BalancerError if one address cannot be had."""
        self.prepare(snapshot)
        self.swap(snapshot)

    def prepare(self, snapshot: Snapshot) -> None:
        """Bind what is new in ``snapshot``; raises BalancerError, and leaves everything as it was, if that fails."""
        config = snapshot.config
        prepared: dict[str, AnyOpenListener] = {}
        grown: list[AnyOpenListener] = []
        fresh: list[AnyOpenListener] = []
        side: dict[str, dict[str, IListeningPort]] = {}
        try:
            for name, settings in config.listeners.items():
                known = self._known(name, settings, config)
                binds = _binds(settings)
                if known is not None:
                    grown.append(known)
                    known.bind_more(binds)
                    prepared[name] = known
                else:
                    listener = self._made(name, settings, snapshot.listeners[name])
                    listener.open()
                    fresh.append(listener)
                    prepared[name] = listener
            for kind, binds in _side_binds(config).items():
                side[kind] = self._side_opened(kind, binds, config)
        except BaseException:
            for listener in fresh:
                listener.stop_accepting()
            for known in grown:
                known.keep_only(known.binds)
            for kind, ports in side.items():
                for bind, port in ports.items():
                    if bind not in self._side_ports[kind]:
                        port.stopListening()
            raise
        self._prepared = prepared
        self._side_prepared = side

    def swap(self, snapshot: Snapshot) -> None:
        """Serve by ``snapshot`` from now on; drain the listeners that it does not have any more."""
        config = snapshot.config
        for name, listener in self._prepared.items():
            settings = config.listeners[name]
            listener.name = name
            listener.gate.connections = settings.limits.connections
            listener.gate.per_client = settings.limits.connections_per_client
            listener.swap(snapshot.listeners[name])  # type: ignore[arg-type]  # _known() and _made() pair the kinds
            listener.keep_only(_binds(settings))
        for listener in self._open.values():
            if listener not in self._prepared.values():
                self._leaving.add(listener)
                listener.drain(config.graceful_timeout).addCallback(partial(self._left, listener))
        self._open, self._prepared = self._prepared, {}
        for kind, ports in self._side_prepared.items():
            for bind, port in self._side_ports[kind].items():
                if bind not in ports:
                    port.stopListening()
            self._side_ports[kind] = ports
        token = config.admin.token if config.admin is not None else None
        self._admin_site.resource = AdminResource(self._service, token)

    def _known(self, name: str, settings: AnyListener, wanted: Config) -> AnyOpenListener | None:
        """Return the open listener that goes on as ``name``: of that name, or one renamed, with the same addresses."""
        kind = _KINDS[settings.protocol]
        known = self._open.get(name)
        if known is not None:
            return known if isinstance(known, kind) else None
        binds = set(_binds(settings))
        for old_name, listener in self._open.items():
            if old_name not in wanted.listeners and isinstance(listener, kind) and set(listener.binds) == binds:
                return listener
        return None

    def _made(self, name: str, settings: AnyListener, what: ListenerSettings) -> AnyOpenListener:
        runtime = self._runtime
        reactor, wheel = runtime.reactor, runtime.wheel
        gate = runtime.gate_below(settings.limits.connections, settings.limits.connections_per_client)
        binds = _binds(settings)
        note = runtime.overload.lag.note
        if isinstance(settings, UdpListener):
            assert isinstance(what, UDPSettings)
            return UDPListener(reactor, name, binds, what, gate, wheel, runtime.observe_session)
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
            )
            tcp.short_of_descriptors = runtime.relieve
            return tcp
        assert isinstance(what, Site)
        http = HTTPListener(reactor, name, binds, what, gate, wheel, settings.backlog, note)
        http.short_of_descriptors = runtime.relieve
        return http

    def _side_opened(self, kind: str, binds: Sequence[str], config: Config) -> dict[str, IListeningPort]:
        """Return the ports of the metrics or admin listener, opening those that are not open yet."""
        ports: dict[str, IListeningPort] = {}
        site = self._metrics_site if kind == "metrics" else self._admin_site
        try:
            for bind in binds:
                # Unix sockets of the admin API are for their owner alone.
                place = (
                    f"{bind}:mode=600"
                    if kind == "admin" and bind.startswith("unix:") and ":mode=" not in bind
                    else bind
                )
                ports[bind] = self._side_ports[kind].get(bind) or listen(self._runtime.reactor, place, site)
        except BaseException:
            for bind, port in ports.items():
                if bind not in self._side_ports[kind]:
                    port.stopListening()
            raise
        return ports

    # Looking, and ending.

    def __iter__(self) -> Iterator[AnyOpenListener]:
        return iter(self._open.values())

    def side_addresses(self, kind: str) -> list[str]:
        """Return where the ``metrics`` or ``admin`` listener is."""
        return [describe(port) for port in self._side_ports[kind].values()]

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
        for ports in self._side_ports.values():
            for port in ports.values():
                port.stopListening()

    def _left(self, listener: AnyOpenListener, _: object) -> None:
        self._leaving.discard(listener)

    def drain(self, timeout: float) -> Deferred[None]:
        """Drain every listener; fires when the last connection is gone and every socket closed."""
        draining: list[Any] = [listener.drain(timeout) for listener in self._open.values()]
        for ports in self._side_ports.values():
            draining += [port.stopListening() for port in ports.values()]
        waiting = [each for each in draining if isinstance(each, Deferred)]
        return gatherResults(waiting).addCallback(lambda _: None)


@provider(IAccessLogFormatter)
def _log_line(_: str, request: Request) -> str:
    """Return the line in the log for a request of the admin API or for metrics, with the time of day.

    The time that Twisted's site hands over is the reactor's, which is monotonic.
    """
    line: str = combinedLogFormatter(datetimeToLogString(time.time()), request)
    return line


_KINDS = {"http": HTTPListener, "tcp": TCPListener, "udp": UDPListener}


def _binds(settings: AnyListener) -> tuple[str, ...]:
    return tuple(str(bind) for bind in settings.bind)


def _side_binds(config: Config) -> dict[str, tuple[str, ...]]:
    metrics, admin = config.metrics, config.admin
    return {
        "metrics": tuple(map(str, metrics.bind)) if metrics is not None else (),
        "admin": tuple(map(str, admin.bind)) if admin is not None else (),
    }
