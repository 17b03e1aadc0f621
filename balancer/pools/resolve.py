"""Servers given by name: their addresses, looked up by Twisted's resolver and looked up again at intervals.

A name that does not resolve takes only its own server down. Addresses once known are kept for a while when look-ups
fail later: that the resolver is ill does not mean that the servers are. Until the first answer the server's address is
its name, which whoever connects resolves then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHostnameResolver,
    IHostResolution,
    IReactorTime,
    IResolutionReceiver,
)
from twisted.logger import Logger
from zope.interface import implementer

from balancer.model.address import Address
from balancer.pools.server import Server

__all__ = ["Names", "ResolveSettings"]

_log = Logger()

_JITTER = 0.1
_FRESH_START = 10
"""Look-ups after which addresses that could not be connected to are tried again."""

Changed = Callable[[Server, tuple[Address, ...], str], None]
"""``changed(server, endpoints, words)``: told of new addresses, or with none that the name does not resolve."""


@dataclass(frozen=True, slots=True)
class ResolveSettings:
    """``interval`` seconds between look-ups; known addresses outlive failing ones for ``hold`` (None: 10 intervals)."""

    interval: float = 30.0
    hold: float | None = None

    @property
    def held(self) -> float:
        """Seconds for which addresses are kept while the name does not resolve."""
        return 10.0 * self.interval if self.hold is None else self.hold


class Names:
    """Keeps the addresses of servers that are given by name up to date.

    Args:
        settings: how often.
        clock: the reactor's.
        draw: returns a float in [0, 1).
        changed: is told when addresses change; it sets them.
    """

    def __init__(
        self, settings: ResolveSettings, clock: IReactorTime, draw: Callable[[], float], changed: Changed
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.draw = draw
        self.changed = changed
        self._lookups: list[_Lookup] = []

    def start(self, servers: Sequence[Server], resolver: IHostnameResolver) -> Deferred[None]:
        """Begin to look up the names among the addresses of ``servers``; fires when each was asked for once."""
        self._lookups = [_Lookup(self, server, resolver) for server in servers if server.address.is_name]
        result: Deferred[None] = Deferred()
        waiting = set(self._lookups)

        def done(lookup: _Lookup) -> None:
            waiting.discard(lookup)
            if not waiting and not result.called:
                result.callback(None)

        for lookup in list(self._lookups):
            lookup.start(done)
        if not self._lookups:
            result.callback(None)
        return result

    def stop(self) -> None:
        """Look nothing up any more."""
        lookups, self._lookups = self._lookups, []
        for lookup in lookups:
            lookup.stop()

    def __repr__(self) -> str:
        return f"<Names {len(self._lookups)} every {self.settings.interval:g} s>"


@implementer(IResolutionReceiver)
class _Lookup:
    """One server's name, looked up again and again; receives what the resolver finds."""

    def __init__(self, names: Names, server: Server, resolver: IHostnameResolver) -> None:
        self._names = names
        self._server = server
        self._resolver = resolver
        self._found: list[Address] = []
        self._known_at: float | None = None
        self._rounds = 0
        self._stopped = False
        self._next: IDelayedCall | None = None
        self._done: Callable[[_Lookup], None] | None = None

    def start(self, done: Callable[[_Lookup], None]) -> None:
        self._done = done
        if self._server.endpoints and self._server.endpoints != (self._server.address,):  # known from before a reload
            self._known_at = self._names.clock.seconds()
        self._ask()

    def stop(self) -> None:
        self._stopped = True
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._tell_done()

    def _ask(self) -> None:
        self._next = None
        self._found = []
        address = self._server.address
        try:
            self._resolver.resolveHostName(self, address.host.rstrip("."), address.port)
        except Exception:  # whatever resolver is installed
            _log.failure("looking up {name} failed", name=address.host)
            self.resolutionComplete()

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """The look-up has begun."""

    def addressResolved(self, address: IAddress) -> None:
        """One address was found."""
        if isinstance(address, (IPv4Address, IPv6Address)):
            found = Address(address.host, self._server.address.port)
            if found not in self._found:
                self._found.append(found)

    def resolutionComplete(self) -> None:
        """All that can be found was found."""
        if self._stopped:
            return
        names, server = self._names, self._server
        now = names.clock.seconds()
        interval = names.settings.interval * (1.0 + _JITTER * (2.0 * names.draw() - 1.0))
        self._next = names.clock.callLater(interval, self._ask)
        self._rounds += 1
        endpoints = tuple(self._found)
        if endpoints:
            self._known_at = now
            if set(endpoints) != set(server.endpoints):
                names.changed(server, endpoints, ", ".join(map(str, endpoints)))
            elif self._rounds % _FRESH_START == 0:
                server.resolved(endpoints)
        elif server.endpoints and (self._known_at is None or now - self._known_at >= names.settings.held):
            names.changed(server, (), f"{server.address.host} does not resolve")
        self._tell_done()

    def _tell_done(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(self)

    def __repr__(self) -> str:
        return f"<_Lookup of {self._server.address.host}>"
