"""One HTTP/1.1 connection to a server: carries one exchange after another, and waits in the pool between them."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from balancer import errors
from balancer.errors import ExchangeError
from balancer.forwarding.ends import TransportEnd, TunnelEnd
from balancer.forwarding.headers import with_framing
from balancer.forwarding.server_side import Owner
from balancer.model.headers import RawHeaders
from balancer.net.bare import BareProtocol
from balancer.net.timers import Entry, Wheel
from balancer.wire.http1 import encode
from balancer.wire.http1.body import Body
from balancer.wire.http1.heads import RequestHead
from balancer.wire.http1.responses import ResponseReader

if TYPE_CHECKING:
    from balancer.forwarding.tunnel import Tunnel
    from balancer.pools.server import Server

__all__ = ["ServerConnection"]

_PEEK = int(socket.MSG_PEEK | socket.MSG_DONTWAIT)


class ServerConnection(BareProtocol):
    """Bytes from one server go through ``reader`` to whoever owns the connection at the time: a :class:`~.server_side.ServerSide`.

    ``tunnel`` is set after a 101: bytes then go there, unread. ``expires`` is when the connection is too old to wait
    for another exchange; ``used`` counts the exchanges it carried.
    """

    plain = True
    version = "http1"
    whom = b""
    """The PROXY header that it began with, but for what tells connections of one client apart; ``b""``: it may carry anybody's requests."""

    def __init__(self, server: Server, wheel: Wheel) -> None:
        self.server = server
        self.reader = ResponseReader()
        self.owner: Owner | None = None
        self.tunnel: Tunnel | None = None
        self.expires = 0.0
        self.used = 0
        self.closed = False
        self.was_reset = False
        self._chunked = False
        self._wheel = wheel
        self._timer: Entry | None = None

    # The request.

    def send_plain(self, owner: Owner, method: str, data: bytes) -> None:
        """Send a whole request."""
        self.owner = owner
        self.used += 1
        self.reader.expect(method)
        self.transport.write(data)

    def send(
        self,
        owner: Owner,
        method: str,
        target: str,
        headers: RawHeaders,
        head: RequestHead,
        length: int | None,
        pieces: list[bytes],
        body: Body | None,
    ) -> None:
        """Send a request, as far as it is there: see :meth:`.ServerSide.send`."""
        self.owner = owner
        self.used += 1
        # A body that has a length no more, because a filter changes it, is sent in chunks as well.
        chunked = self._chunked = body is not None and (
            head.chunked or (length is None and (head.content_length is not None or bool(pieces)))
        )
        self.reader.expect(method)
        data = encode.request_head(method, target, with_framing(headers, head, length=length, chunked=chunked))
        if body is not None and (pieces or chunked):
            data += self._framed(pieces, body)
        elif pieces:
            data += b"".join(pieces)
        self.transport.write(data)

    def send_body(self, pieces: list[bytes], body: Body) -> None:
        """Send more of the body."""
        self.transport.write(self._framed(pieces, body))

    def _framed(self, pieces: list[bytes], body: Body) -> bytes:
        if not self._chunked:
            return b"".join(pieces)
        framed = [encode.chunk(piece) for piece in pieces]
        if body.ended:
            framed.append(encode.last_chunk(body.trailers) if body.trailers else encode.LAST_CHUNK)
        return b"".join(framed)

    def stream_from(self, producer: Any) -> None:
        """Have ``producer`` produce the body, as fast as the server takes it."""
        self.transport.registerProducer(producer, True)
        producer.resumeProducing()

    def streamed(self) -> None:
        """The producer has nothing to produce any more."""
        if not self.closed:
            self.transport.unregisterProducer()

    # The response.

    @property
    def producer(self) -> Any:
        """What can be paused while the client takes no more."""
        return self.transport

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

    def connectionMade(self) -> None:
        """The connection is there."""
        self.server.connections["http1"] += 1

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
        self.server.connections["http1"] -= 1
        if self._timer is not None:
            self._timer.end()
        if self.tunnel is not None:
            self.tunnel.server_lost(reason)
        elif self.owner is None:
            self.server.idle.forget(self)
        else:
            self._lost_by(self.owner, reason)
        self.reader.end()

    def _lost_by(self, owner: Owner, reason: Failure) -> None:
        reader = self.reader
        self.was_reset = reason.check(ConnectionDone) is None
        if reader.eof(clean=not self.was_reset):
            owner.response_came()
        elif reader.head is not None:
            owner.server_failed(ExchangeError(errors.HTTP_RESPONSE_INCOMPLETE))
        else:
            owner.server_failed(ExchangeError(errors.CONNECTION_TERMINATED))

    def takes(self, head: RequestHead) -> bool:
        """Any upgrade can be asked for."""
        return True

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

    def finish(self, now: float, whole: bool) -> None:
        """The response is complete: wait for the next exchange, where that is possible."""
        if whole and self.reader.reusable and not self.closed:
            self.owner = None
            idle = self.server.idle
            if idle.put(self, now):
                self.limit(idle.settings.idle_for_one if self.whom else idle.settings.idle)
            else:
                self.close()
            return
        if not whole:
            self.streamed()
        self.close()

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
