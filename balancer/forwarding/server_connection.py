"""One HTTP/1.1 connection to a server: carries one exchange after another, and waits in the pool between them."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from typing import Protocol as Shape

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from balancer import errors
from balancer.errors import ExchangeError
from balancer.forwarding.ends import TransportEnd, TunnelEnd
from balancer.net.timers import Entry, Wheel
from balancer.wire.http1.responses import ResponseReader

if TYPE_CHECKING:
    from balancer.forwarding.tunnel import Tunnel
    from balancer.pools.server import Server

__all__ = ["ServerConnection"]

_PEEK = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)


class _Owner(Shape):
    """What a connection tells the exchange that uses it; :class:`~balancer.forwarding.exchange.Forward` is one."""

    def response_came(self) -> None:
        """More of the response is in the connection's reader."""

    def server_failed(self, error: ExchangeError) -> None:
        """The connection cannot complete the exchange."""

    def server_timed_out(self) -> None:
        """The time set by :meth:`ServerConnection.limit` is up."""


class ServerConnection(Protocol):
    """Bytes from one server go through ``reader`` to whoever owns the connection at the time.

    ``tunnel`` is set after a 101: bytes then go there, unread. ``expires`` is when the connection is too old to wait
    for another exchange; ``used`` counts the exchanges it carried.
    """

    transport: Any

    def __init__(self, server: Server, wheel: Wheel) -> None:
        self.server = server
        self.reader = ResponseReader()
        self.owner: _Owner | None = None
        self.tunnel: Tunnel | None = None
        self.expires = 0.0
        self.used = 0
        self.closed = False
        self._wheel = wheel
        self._timer: Entry | None = None

    def limit(self, seconds: float) -> None:
        """Allow ``seconds`` from now for what comes next."""
        if self._timer is None:
            self._timer = self._wheel.schedule(seconds, self._timed_out)
        else:
            self._timer.reset(seconds)

    def touch(self) -> None:
        """Start the present limit again from now."""
        if self._timer is not None:
            self._timer.touch()

    def dataReceived(self, data: bytes) -> None:
        """Read what the server sent."""
        if self.tunnel is not None:
            self.tunnel.from_server(data)
            return
        reader = self.reader
        try:
            reader.feed(data)
        except ExchangeError as error:
            owner = self.owner
            self.close()
            if owner is not None:
                owner.server_failed(error)
            return
        if self.owner is not None:
            self.owner.response_came()
        else:  # a server that speaks while nothing is asked of it is not asked again
            self.close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The server closed, or the network did."""
        self.closed = True
        if self._timer is not None:
            self._timer.end()
        if self.tunnel is not None:
            self.tunnel.server_lost(reason)
        elif self.owner is None:
            self.server.idle.forget(self)
        else:
            self._lost_by(self.owner, reason)
        self.reader.end()

    def _lost_by(self, owner: _Owner, reason: Failure) -> None:
        reader = self.reader
        if reader.eof(clean=reason.check(ConnectionDone) is not None):
            owner.response_came()
        elif reader.head is not None:
            owner.server_failed(ExchangeError(errors.HTTP_RESPONSE_INCOMPLETE))
        else:
            owner.server_failed(ExchangeError(errors.CONNECTION_TERMINATED))

    def become_tunnel(self, tunnel: Tunnel) -> tuple[TunnelEnd, bytes]:
        """Give the connection to ``tunnel``; return its end and what came behind the 101."""
        self.owner = None
        self.tunnel = tunnel
        if self._timer is not None:
            self._timer.cancel()
        return TransportEnd(self.transport), self.reader.leftover or b""

    def gone(self) -> bool:
        """Whether the server has closed, or said something, that the reactor did not report yet."""
        try:
            return self.transport.getHandle().recv(1, _PEEK) is not None
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """End the connection now; its owner is not told."""
        self.owner = None
        if not self.closed:
            self.transport.abortConnection()

    def _timed_out(self) -> None:
        if self.owner is None:
            self.server.idle.forget(self)
            self.close()
        else:
            self.owner.server_timed_out()

    def __repr__(self) -> str:
        return f"<ServerConnection to {self.server.name} used={self.used} {'closed' if self.closed else 'open'}>"
