"""The ports of the metrics and of the admin API: opened, kept and closed as configurations follow each other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.web.http import Request, combinedLogFormatter, datetimeToLogString
from twisted.web.iweb import IAccessLogFormatter
from twisted.web.resource import Resource
from twisted.web.server import Site as TwistedSite
from zope.interface import provider

from balancer.config.schema import Config
from balancer.listeners.opening import Opening
from balancer.net.listening import describe, let_go
from balancer.observe.metrics import MetricsResource
from balancer.service.admin import Administered, AdminResource
from balancer.service.audit import Audit
from balancer.service.inheritance import Left

__all__ = ["SidePorts"]

_Ports = dict[str, dict[str, IListeningPort]]


class SidePorts:
    """The metrics listener and the admin listener.

    Args:
        reactor: provides ports.
        text: returns the metrics' text, at once or later.
        service: what the admin API administers.
        opening: where the sockets come from; by default they are bound here.
    """

    def __init__(self, reactor: Any, text: Any, service: Administered, opening: Opening | None = None) -> None:
        self._opening = opening or Opening(reactor)
        self._service = service
        self._metrics_site = TwistedSite(MetricsResource(text), logFormatter=_log_line, reactor=reactor)
        self._admin_site = TwistedSite(Resource(), logFormatter=_log_line, reactor=reactor)
        self._open: _Ports = {"metrics": {}, "admin": {}}
        self._prepared: _Ports | None = None

    def prepare(self, config: Config) -> None:
        """Bind what is new in ``config``; raises BalancerError, and leaves everything as it was, if that fails."""
        self._prepared = {}
        try:
            for kind, binds in _binds(config).items():
                self._prepared[kind] = self._opened(kind, binds)
        except BaseException:
            self.abandon()
            raise

    def _opened(self, kind: str, binds: Sequence[str]) -> dict[str, IListeningPort]:
        """Return the ports of the metrics or admin listener, opening those that are not open yet."""
        ports: dict[str, IListeningPort] = {}
        site = self._metrics_site if kind == "metrics" else self._admin_site
        try:
            for bind in binds:
                known = self._open[kind].get(bind)
                ports[bind] = known or self._opening.stream(f":{kind}", _place(kind, bind), site)
        except BaseException:
            self._close_but(ports, self._open[kind])
            raise
        return ports

    def abandon(self) -> None:
        """Close what :meth:`prepare` has opened."""
        prepared, self._prepared = self._prepared or {}, None
        for kind, ports in prepared.items():
            self._close_but(ports, self._open[kind])

    def swap(self, config: Config) -> None:
        """Keep what was prepared for ``config``, close the rest, and ask for its token from now on."""
        for kind, ports in (self._prepared or {}).items():
            self._close_but(self._open[kind], ports)
            self._open[kind] = ports
        self._prepared = None
        admin = config.admin
        token, path = (None, None) if admin is None else (admin.token, admin.audit_log)
        self._admin_site.resource = AdminResource(self._service, token, Audit(None if path is None else str(path)))

    @staticmethod
    def _close_but(ports: dict[str, IListeningPort], kept: dict[str, IListeningPort]) -> None:
        for bind, port in ports.items():
            if bind not in kept:
                port.stopListening()

    def addresses(self, kind: str) -> list[str]:
        """Return where the ``metrics`` or ``admin`` listener is."""
        return [describe(port) for port in self._open[kind].values()]

    def left(self) -> list[Left]:
        """Return the sockets, for a process that takes over."""
        return [
            (f":{kind}", _place(kind, bind), [cast(Any, port).fileno()])
            for kind, ports in self._open.items()
            for bind, port in ports.items()
        ]

    def hand_over(self) -> None:
        """Accept no more: another process does."""
        for ports in self._open.values():
            while ports:
                let_go(ports.popitem()[1])

    def close(self) -> list[Deferred[None]]:
        """Close every port; the Deferreds fire when that is done."""
        closing = [port.stopListening() for ports in self._open.values() for port in ports.values()]
        self._open = {"metrics": {}, "admin": {}}
        return [each for each in closing if isinstance(each, Deferred)]


@provider(IAccessLogFormatter)
def _log_line(_: str, request: Request) -> str:
    """Return the line in the log for a request of the admin API or for metrics, with the time of day.

    The time that Twisted's site hands over is the reactor's, which is monotonic.
    """
    line: str = combinedLogFormatter(datetimeToLogString(time.time()), request)
    return line


def _place(kind: str, bind: str) -> str:
    """Return where to listen for ``bind``: unix sockets of the admin API are for their owner alone."""
    private = kind == "admin" and bind.startswith("unix:") and ":mode=" not in bind
    return f"{bind}:mode=600" if private else bind


def _binds(config: Config) -> dict[str, tuple[str, ...]]:
    metrics, admin = config.metrics, config.admin
    return {
        "metrics": tuple(map(str, metrics.bind)) if metrics is not None else (),
        "admin": tuple(map(str, admin.bind)) if admin is not None else (),
    }
