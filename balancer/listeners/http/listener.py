"""An HTTP listener: lets clients in and serves them by the site of the moment, in the version of HTTP that they speak.

Its site can be replaced at any time (:meth:`HTTPListener.swap`): the sockets and the clients' connections stay, requests
begun earlier finish on the site they began with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from zope.interface import implementer

from balancer.forwarding.session import to_peer
from balancer.forwarding.websocket import CLOSING
from balancer.listeners.accept import Gate
from balancer.listeners.encrypted import Handshake, Handshakes
from balancer.listeners.http.channel import HTTPChannel
from balancer.listeners.http.overloaded import turned_away_at_once
from balancer.listeners.http.site import Site
from balancer.listeners.http2.channel import HTTP2Channel
from balancer.listeners.http2.counts import Counts
from balancer.listeners.opening import Opening
from balancer.listeners.ports import Ports
from balancer.listeners.proxied import Introductions
from balancer.model.origin import Origin
from balancer.model.units import counted
from balancer.net.gathering import gathering
from balancer.net.listening import BACKLOG
from balancer.net.timers import Wheel

__all__ = ["LAST_REQUEST", "HTTPListener"]

LAST_REQUEST = 0.5
"""Seconds that a connection without a request has for one more when its listener drains."""


AnyChannel = HTTPChannel | HTTP2Channel
"""A client's connection."""
AnyConnection = AnyChannel | Handshake
"""The same, and those of which nobody knows yet what will be spoken."""


@implementer(IProtocolFactory)
class HTTPListener:
    """Accepts connections and speaks HTTP on them.

    Args:
        reactor: provides ports and time.
        name: the listener's name, for records.
        binds: where to listen, as for :func:`balancer.net.listening.listen`.
        site: what to serve.
        gate: admits clients; its limits may be changed in place.
        wheel: the shared timer.
        backlog: connections that may wait to be accepted.
        waited: told how long those who come have waited to be accepted, in seconds.
        opening: where the sockets come from; by default they are bound here.
    """

    def __init__(
        self,
        reactor: Any,
        name: str,
        binds: Sequence[str],
        site: Site,
        gate: Gate,
        wheel: Wheel,
        backlog: int = BACKLOG,
        waited: Callable[[float], Any] | None = None,
        opening: Opening | None = None,
    ) -> None:
        self.name = name
        self.waited = waited
        self.short_of_descriptors: Callable[[], Any] | None = None
        """Called when no connection could be accepted for want of descriptors."""
        self.gate = gate
        self.channels: set[AnyConnection] = set()
        self.introductions = Introductions(self, wheel, reactor.seconds)
        """Those that have yet to say, by a PROXY header, whose they are."""
        self.handshakes = Handshakes(name, reactor.seconds)
        """What its TLS handshakes came to."""
        self.http2 = Counts()
        """What its HTTP/2 connections came to."""
        self._reactor = reactor
        self._gather = gathering(reactor)
        self._draining = False
        self.binds = tuple(binds)
        self._site = site
        self._wheel = wheel
        self._ports = Ports(reactor, self, backlog, partial((opening or Opening(reactor)).stream, name))
        self._drained: Deferred[None] | None = None
        self._handed_over = False

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
        self._handed_over = True

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens, in the form of ``bind``, with real ports."""
        return self._ports.addresses

    @property
    def pauses(self) -> int:
        """How often it stopped accepting for a moment, for want of descriptors."""
        return self._ports.pauses

    def swap(self, site: Site) -> None:
        """Serve requests that begin from now on by ``site``."""
        self._site = site

    def stop_accepting(self) -> Deferred[None]:
        """Close the listening sockets; connections go on. The Deferred fires when the sockets are closed."""
        return self._ports.keep(())

    def drain(self, timeout: float) -> Deferred[None]:
        """Stop accepting, finish the exchanges in flight for ``timeout`` seconds, then cut those that are left.

        A connection that is idle, or has just been opened, has :data:`LAST_REQUEST` seconds for one more request, so
        that busy clients are told by a response that it is the last, and find no connection closed under a request.
        WebSockets end then too, with a close frame; where another process goes on with the sockets, when the time is
        nearly over. The Deferred fires when the last connection is gone.
        """
        closed = self.stop_accepting()
        self._draining = True
        for channel in tuple(self.channels):
            channel.announce_end()
        if self.channels or self.introductions.waiting:
            drained: Deferred[None] = Deferred()
            self._drained = drained
            soon = min(LAST_REQUEST, timeout)
            late = max(soon, timeout - min(CLOSING, timeout / 2)) if self._handed_over else soon
            idle = self._wheel.schedule(soon, self._drain_all)
            tunnels = self._wheel.schedule(late, self._drain_tunnels)
            limit = self._wheel.schedule(timeout, self._abort_all)

            def done(_: None) -> None:
                idle.cancel()
                tunnels.cancel()
                limit.cancel()

            drained.addCallback(done)
            closed.addCallback(lambda _: drained)
        return closed

    def _drain_all(self) -> None:
        self.introductions.close()
        for channel in tuple(self.channels):
            channel.drain()

    def _drain_tunnels(self) -> None:
        for channel in tuple(self.channels):
            channel.drain_tunnel()

    def _abort_all(self) -> None:
        self.introductions.close()
        for channel in tuple(self.channels):
            channel.abort()

    def _site_now(self) -> Site:
        return self._site

    def buildProtocol(self, address: IAddress) -> IProtocol | None:
        """Return the lowest layer for a client at ``address``; None refuses it."""
        proxied = self._site.proxied
        if proxied is not None:
            peer = to_peer(address)
            if proxied.trusts(peer):
                return self.introductions.begin(proxied, peer)
        host = getattr(address, "host", None) or ""
        return self.serve(None, host) if self.gate.admit(host) else None

    def serve(self, origin: Origin | None, host: str) -> IProtocol:
        """Return the channel for a connection, or its TLS.

        Args:
            origin: who connects; None: the socket says it all.
            host: as whom the gate has admitted it.
        """
        left = partial(self._left, host)
        contexts = self._site.tls
        if contexts is None:
            channel = self.speak(origin, left)
            if self._draining:
                channel.announce_end()
            return channel

        def speak(handshake: Handshake, shaken: Origin) -> IProtocol:
            self.channels.discard(handshake)
            channel = self.speak(shaken if origin is None else origin.over(shaken.tls), left)
            if handshake.is_ending:
                self._reactor.callLater(0.0, channel.announce_end)  # once it has its connection
            return channel

        handshake = Handshake(contexts, self._wheel, self.handshakes, speak, left, http=True, origin=origin)
        handshake.is_ending = self._draining  # begun within a drain, behind its PROXY header
        self.channels.add(handshake)
        return handshake.protocol

    def speak(self, origin: Origin | None, left: Callable[[AnyConnection], None]) -> AnyChannel:
        """Return the channel for a connection: of the version that TLS has agreed on, else of HTTP/1.1.

        Who begins a plain connection with the preface of HTTP/2 is then served in that.

        Args:
            origin: who connects, and how; None: the socket says it all.
            left: called once when the connection is gone, with its channel.
        """
        channel: AnyChannel
        tls = None if origin is None else origin.tls
        if self._site.http2 is None:
            channel = HTTPChannel(self._site_now, self._wheel, left, origin)
        elif tls is None:
            channel = HTTPChannel(self._site_now, self._wheel, left, origin, self._speak_http2)
        elif tls.alpn == "h2":
            channel = self._http2_channel(left, origin)
        else:
            channel = HTTPChannel(self._site_now, self._wheel, left, origin)
        self.channels.add(channel)
        return channel

    def _http2_channel(self, left: Callable[[AnyConnection], None], origin: Origin | None) -> HTTP2Channel:
        later = partial(self._reactor.callLater, 0)
        return HTTP2Channel(self._site_now, self._wheel, left, self._gather, later, self.http2, origin)

    def _speak_http2(self, before: HTTPChannel, data: bytes) -> None:
        """Go on in HTTP/2 on the connection of ``before``, which was given ``data`` and found them to be that."""
        transport = before.transport
        channel = self._http2_channel(before.left, before.origin)
        self.channels.discard(before)
        self.channels.add(channel)
        transport.protocol = channel
        channel.makeConnection(transport)
        if self._draining:
            channel.announce_end()
        channel.dataReceived(data)

    def _left(self, host: str, channel: AnyConnection) -> None:
        self.gate.leave(host)
        self.channels.discard(channel)
        self.one_left()

    def one_left(self) -> None:
        """A connection has ended; the last one is waited for by :meth:`drain`."""
        if self._drained is not None and not self.channels and not self.introductions.waiting:
            drained, self._drained = self._drained, None
            drained.callback(None)

    def turns_away(self, descriptor: int, client: Any) -> bool:
        """Answer, while there is more to do than can be done, a connection that was just accepted; then close it."""
        site = self._site
        return site.shedding.share > 0.0 and site.tls is None and turned_away_at_once(descriptor, client, site)

    def doStart(self) -> None:
        """Part of the interface; a port begins."""

    def doStop(self) -> None:
        """Part of the interface; a port has ended."""

    def __repr__(self) -> str:
        return f"<HTTPListener {self.name} on {', '.join(self.addresses) or 'nothing'}, {counted(len(self.channels), 'connection')}>"
