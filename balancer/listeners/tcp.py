"""A TCP listener: lets clients in, decides which pool takes them, and keeps the sessions it started.

Its settings can be replaced at any time (:meth:`TCPListener.swap`): the sockets stay, sessions begun earlier finish on
what they began with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from zope.interface import implementer

from balancer import errors
from balancer.forwarding.peeking import HelloPolicy
from balancer.forwarding.session import SHUTDOWN, Session, to_peer
from balancer.forwarding.side import Side
from balancer.listeners.accept import Gate
from balancer.listeners.encrypted import Handshake, Handshakes
from balancer.listeners.opening import Opening
from balancer.listeners.ports import Ports
from balancer.listeners.proxied import UNTRUSTED, Introductions, ProxyPolicy
from balancer.listeners.shedding import NEVER, Shedding
from balancer.model.address import Address, Peer
from balancer.model.facts import SessionFacts
from balancer.model.origin import Origin
from balancer.model.units import counted
from balancer.net.connecting import connect
from balancer.net.listening import BACKLOG
from balancer.net.splice import Pipes
from balancer.net.timers import Wheel
from balancer.observe.records import SessionRecord
from balancer.routing.l4 import L4Routes, decide
from balancer.tls.server_contexts import ServerContexts

if TYPE_CHECKING:
    from balancer.pools.pool import Pool

__all__ = ["TCPListener", "TCPSettings"]


Connector = Callable[..., "Deferred[Any]"]
"""``connect(address, protocol, timeout, first)``; ``first`` where the connection begins with a PROXY header."""


@dataclass(frozen=True, slots=True)
class TCPSettings:
    """What a reload may change: routes, pools by name, seconds of idleness allowed, who is turned away, how TLS is spoken, whose PROXY headers
    are taken.

    ``hello_timeout`` in seconds and ``hello_size`` in bytes are for the client's ClientHello, which is looked at where a route asks
    for what is in it; otherwise a client may be silent, and the server speak first.
    """

    routes: L4Routes
    pools: Mapping[str, Pool]
    idle: float = 600.0
    shedding: Shedding = NEVER
    tls: ServerContexts | None = None
    proxied: ProxyPolicy | None = None
    hello_timeout: float = 5.0
    hello_size: int = 16384

    @property
    def hello(self) -> HelloPolicy | None:
        """How the client's ClientHello is waited for; None if no route asks for it."""
        if not self.routes.peeks:
            return None
        return HelloPolicy(self.hello_timeout, self.hello_size, self.routes.lacks_protocol)

    def route(self, facts: SessionFacts) -> tuple[str, Pool] | None:
        """Return the name of the route that takes a session, and its pool; None if no route does."""
        decision = decide(self.routes, facts)
        return None if decision.pool is None else (decision.route, self.pools[decision.pool])


@implementer(IProtocolFactory)
class TCPListener:
    """Accepts TCP (or unix socket) connections and forwards each to a server.

    Args:
        reactor: provides ports, connections and time.
        name: the listener's name, for records.
        binds: where to listen, as for :func:`balancer.net.listening.listen`.
        settings: routes, pools, time-out.
        gate: admits clients; its limits may be changed in place.
        wheel: the shared timer.
        observe: called with the :class:`~balancer.observe.records.SessionRecord` of each session when it has ended.
        backlog: connections that may wait to be accepted.
        connector: connects a protocol to an address within so many seconds, :func:`balancer.net.connecting.connect`
            if none is given.
        waited: told how long those who come have waited to be accepted, in seconds.
        opening: where the sockets come from; by default they are bound here.
    """

    def __init__(
        self,
        reactor: Any,
        name: str,
        binds: Sequence[str],
        settings: TCPSettings,
        gate: Gate,
        wheel: Wheel,
        observe: Callable[[SessionRecord], Any],
        backlog: int = BACKLOG,
        pipes: Pipes | None = None,
        waited: Callable[[float], Any] | None = None,
        connector: Connector | None = None,
        opening: Opening | None = None,
    ) -> None:
        self.name = name
        self.waited = waited
        self._connector = connector
        self.short_of_descriptors: Callable[[], Any] | None = None
        """Called when no connection could be accepted for want of descriptors."""
        self.gate = gate
        self.sessions: set[Session] = set()
        self.handshakes = Handshakes(name, reactor.seconds)
        """What its TLS handshakes came to."""
        self._shaking: set[Handshake] = set()
        self.introductions = Introductions(self, wheel, reactor.seconds)
        """Those that have yet to say, by a PROXY header, whose they are."""
        self._reactor = reactor
        self.binds = tuple(binds)
        self._settings = settings
        self._wheel = wheel
        self._observe = observe
        self._pipes = pipes
        opened = partial((opening or Opening(reactor)).stream, name, spliced=True)
        self._ports = Ports(reactor, self, backlog, opened)
        self._drained: Deferred[None] | None = None

    def open(self) -> None:
        """Bind every address; all or none.

        Raises:
            BalancerError: naming the address that cannot be had.
        """
        self._ports.open(self.binds)

    def bind_more(self, binds: Sequence[str]) -> None:
        """Bind what of ``binds`` is not bound yet; all or none. Raises as :meth:`open`."""
        self._ports.open(binds)

    def keep_only(self, binds: Sequence[str]) -> Deferred[None]:
        """Close every socket that is not of ``binds``; connections go on."""
        self.binds = tuple(binds)
        return self._ports.keep(binds)

    @property
    def descriptors(self) -> dict[str, int]:
        """The sockets' descriptors by the text of their ``bind``."""
        return self._ports.descriptors

    def hand_over(self) -> None:
        """Accept no more here: another process has the sockets. Connections go on."""
        self._ports.let_go()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens, in the form of ``bind``, with real ports."""
        return self._ports.addresses

    @property
    def pauses(self) -> int:
        """How often it stopped accepting for a moment, for want of descriptors."""
        return self._ports.pauses

    def swap(self, settings: TCPSettings) -> None:
        """Use ``settings`` for sessions that begin from now on."""
        self._settings = settings

    def stop_accepting(self) -> Deferred[None]:
        """Close the listening sockets; sessions go on. The Deferred fires when the sockets are closed."""
        return self._ports.keep(())

    def drain(self, timeout: float) -> Deferred[None]:
        """Stop accepting, let sessions end for ``timeout`` seconds, then reset those that are left.

        The Deferred fires when the last session is gone and its record written.
        """
        closed = self.stop_accepting()
        for handshake in tuple(self._shaking):
            handshake.abort()
        if self.sessions or self.introductions.waiting:
            drained: Deferred[None] = Deferred()
            self._drained = drained
            limit = self._wheel.schedule(timeout, self._abort_all)
            drained.addCallback(lambda _: limit.cancel())
            closed.addCallback(lambda _: drained)
        return closed

    def _abort_all(self) -> None:
        self.introductions.close()
        for handshake in tuple(self._shaking):
            handshake.abort()
        for session in tuple(self.sessions):
            session.abort(SHUTDOWN)

    def buildProtocol(self, address: IAddress) -> IProtocol | None:
        """Return the lowest layer for a client at ``address``; None refuses it."""
        return self._build(to_peer(address))

    def build_for(self, host: str, port: int) -> IProtocol | None:
        """Return what :meth:`buildProtocol` does, for a TCP client that is known already."""
        return self._build(Peer(host, port))

    def _build(self, peer: Peer) -> IProtocol | None:
        settings = self._settings
        if settings.shedding.share and settings.shedding.sheds(self.name):
            self._turned_away(peer)
            return None
        proxied = settings.proxied
        if proxied is not None:
            if proxied.trusts(peer):
                return self.introductions.begin(proxied, peer)
            if proxied.required:
                self.introductions.refuse(UNTRUSTED, peer, "its PROXY header would not be trusted")
                return None
        return self._serve(peer, None) if self.gate.admit(peer.host) else None

    def serve(self, origin: Origin, host: str) -> IProtocol:
        """Return what serves ``origin``, admitted by the gate as one from ``host``."""
        return self._serve(origin.peer, origin)

    def _serve(self, peer: Peer, origin: Origin | None) -> IProtocol:
        """Begin a session for a client and return its client side, or its TLS; ``origin`` where the socket does not say it all."""
        settings = self._settings
        contexts = settings.tls
        if contexts is None:
            return self._begin(peer, settings, origin).client

        def speak(handshake: Handshake, shaken: Origin) -> Side:
            self._shaking.discard(handshake)
            session = self._begin(peer, settings, shaken if origin is None else origin.over(shaken.tls))
            session.record.tls = shaken.tls
            return session.client

        def left(handshake: Handshake) -> None:
            self._shaking.discard(handshake)
            self.gate.leave(peer.host)
            self.one_left()

        handshake = Handshake(contexts, self._wheel, self.handshakes, speak, left, origin=origin)
        self._shaking.add(handshake)
        return handshake.protocol

    def _begin(self, peer: Peer, settings: TCPSettings, origin: Origin | None) -> Session:
        record = SessionRecord("tcp")
        record.listener = self.name
        session = Session(
            self._reactor,
            self._wheel,
            self._connect,
            settings.route,
            peer,
            record,
            settings.idle,
            self._ended,
            self._pipes,
            hello=settings.hello if origin is None or origin.tls is None else None,  # TLS was taken off, and has told
            origin=origin,
        )
        self.sessions.add(session)
        return session

    def _turned_away(self, peer: Peer) -> None:
        record = SessionRecord("tcp")
        record.listener = self.name
        record.client, record.client_port = peer.host, peer.port
        record.started = time.time()
        record.total = 0.0
        record.reason, record.detail = errors.OVERLOADED.code, "overloaded"
        self._observe(record)

    def _connect(self, address: Address, side: Side, timeout: float, first: bytes = b"") -> Deferred[Side]:
        if self._connector is not None:
            return self._connector(address, side, timeout, first) if first else self._connector(address, side, timeout)
        return connect(self._reactor, address, side, timeout, self._wheel, spliced=True, first=first)

    def _ended(self, session: Session) -> None:
        self.sessions.discard(session)
        self.gate.leave(session.peer.host)
        self._observe(session.record)
        self.one_left()

    def one_left(self) -> None:
        """A connection has ended; the last one is waited for by :meth:`drain`."""
        if self._drained is not None and not self.sessions and not self._shaking and not self.introductions.waiting:
            drained, self._drained = self._drained, None
            drained.callback(None)

    def doStart(self) -> None:
        """Part of the interface; a port begins."""

    def doStop(self) -> None:
        """Part of the interface; a port has ended."""

    def __repr__(self) -> str:
        return f"<TCPListener {self.name} on {', '.join(self.addresses) or 'nothing'}, {counted(len(self.sessions), 'session')}>"
