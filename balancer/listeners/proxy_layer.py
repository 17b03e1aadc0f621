"""The lowest layer of a connection through a proxy: waits for the PROXY header, then gives the transport to what is above.

::

    accepted ──> header ─────────────────────> what serves the client that it names
        │        LOCAL, UNKNOWN, unix paths ──> what serves the peer itself
        ├──> something else ──> not required: what serves the peer itself; required: closed
        └──> silence ─────────> likewise, after a while

Nothing of it is left on the connection then: the transport's protocol is the one above. Of a transport that is not ours, and
has another idea of who its protocol is, this layer passes on what comes.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from balancer.forwarding.session import to_peer
from balancer.model.address import Peer
from balancer.model.origin import Origin
from balancer.net.timers import Wheel
from balancer.wire.proxy_protocol import Header, HeaderError, NoHeaderError, Reader

__all__ = ["CLOSED", "TIMEOUT", "ProxyLayer"]

TIMEOUT = "timeout"
"""The header was not there in time."""
CLOSED = "closed"
"""The peer closed before the header was there."""


class _Owner(Protocol):
    """Who knows what comes of it: :class:`~.proxied.Introductions`."""

    def introduced(self, layer: ProxyLayer, header: Header | None, origin: Origin) -> IProtocol | None:
        """Return what serves ``origin``; None refuses it."""

    def refuse(self, reason: str, peer: Peer, detail: str = "") -> None:
        """Take note that the connection is closed for ``reason``."""

    def left(self, layer: ProxyLayer) -> None:
        """The connection ended before anything was above."""


@implementer(IProtocol, IHalfCloseableProtocol)
class ProxyLayer:
    """The protocol of a connection from a trusted peer until that has said whose it is.

    Args:
        owner: is asked what comes above, and told if nothing does.
        wheel: the shared timer.
        peer: the proxy.
        timeout: seconds that the header may take.
        required: whether there must be one.
    """

    __slots__ = ("_above", "_owner", "_peer", "_reader", "_required", "_timer", "factory", "transport")

    def __init__(self, owner: _Owner, wheel: Wheel, peer: Peer, timeout: float, *, required: bool) -> None:
        self._owner = owner
        self._peer = peer
        self._required = required
        self._reader = Reader()
        self._above: Any = None
        self._timer = wheel.schedule(timeout, self._timed_out)
        self.transport: Any = None

    def makeConnection(self, transport: Any) -> None:
        """The connection stands."""
        self.transport = transport

    def connectionMade(self) -> None:
        """Part of the interface; the header is awaited."""

    def dataReceived(self, data: bytes) -> None:
        """Read the header."""
        if self._above is not None:
            self._above.dataReceived(data)
            return
        if not self._timer.active:
            return  # refused
        try:
            header = self._reader.feed(data)
        except NoHeaderError as error:
            if self._required:
                self._refuse(error.reason, str(error))
            else:
                self._hand_over(None)
        except HeaderError as error:
            self._refuse(error.reason, f"its PROXY header: {error}")
        else:
            if header is not None:
                self._hand_over(header)

    def readConnectionLost(self) -> None:
        """The peer has sent FIN."""
        if self._above is None and self._timer.active:
            if self._required or self._reader.begun or not self._reader.rest:
                self._refuse(CLOSED, "it ended within its PROXY header" if self._reader.rest else "")
                return
            self._hand_over(None)
        half = IHalfCloseableProtocol(self._above, None)
        if half is not None:
            half.readConnectionLost()
        elif self._above is not None:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Our FIN is on its way."""
        half = IHalfCloseableProtocol(self._above, None)
        if half is not None:
            half.writeConnectionLost()

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone."""
        if self._above is not None:
            self._above.connectionLost(reason)
            return
        if self._timer.active:
            self._owner.refuse(CLOSED, self._peer)
        self._timer.end()
        self._owner.left(self)

    def close(self) -> None:
        """End the connection, whose header is awaited: the listener ends."""
        self._timer.end()
        self.transport.loseConnection()

    def _timed_out(self) -> None:
        if self._required or self._reader.begun:
            self._refuse(TIMEOUT, "its PROXY header took too long")
        else:
            self._hand_over(None)

    def _refuse(self, reason: str, detail: str) -> None:
        self._timer.end()
        self._owner.refuse(reason, self._peer, detail)
        self.transport.loseConnection()

    def _hand_over(self, header: Header | None) -> None:
        self._timer.end()
        transport = self.transport
        above = self._owner.introduced(self, header, _origin(header, self._peer, to_peer(transport.getHost())))
        if above is None:
            transport.loseConnection()
            return
        self._above = above
        transport.protocol = above
        above.makeConnection(transport)
        rest = self._reader.rest
        if rest and getattr(transport, "connected", True) and not transport.disconnecting:
            above.dataReceived(rest)


def _origin(header: Header | None, peer: Peer, local: Peer) -> Origin:
    """Return who connects: as ``header`` says, or, where it names no IP address, the ``peer`` itself."""
    if header is None or header.local:
        return Origin(peer, local)
    tls = header.tls
    scheme = "https" if tls is not None and tls.encrypted else ""
    if header.source is None or header.destination is None:
        return Origin(peer, local, scheme=scheme, tlvs=header.tlvs)
    return Origin(header.source, header.destination, scheme=scheme, by_proxy=True, tlvs=header.tlvs)
