"""A stream as the server's end of a tunnel: a WebSocket on a connection that others share (RFC 8441).

The server is asked by an extended CONNECT where it has announced that it takes that. What it agrees with is made the 101 that a server
of HTTP/1.1 would have sent, so that nobody else needs to know. END_STREAM is what a FIN is on a connection of its own, RST_STREAM
what a RST is (section 5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from balancer.model.headers import RawHeaders
from balancer.net.unsent import unacknowledged
from balancer.wire.http1.heads import RequestHead
from balancer.wire.http1.responses import ResponseHead
from balancer.wire.websocket import handshake

if TYPE_CHECKING:
    from balancer.forwarding.http2.connection import HTTP2Connection
    from balancer.forwarding.http2.stream import ServerStream

__all__ = ["ServerStreamEnd", "agreed", "is_asked", "without_key"]


def is_asked(head: RequestHead) -> bool:
    """Whether a client asks for a WebSocket: other upgrades are offers, which need not be taken up."""
    return head.upgrade is not None and handshake.is_websocket(head.upgrade)


def without_key(headers: RawHeaders) -> RawHeaders:
    """Return the fields of a handshake as they go to a server of HTTP/2, which has no key to answer."""
    return [pair for pair in headers if pair[0].lower() != b"sec-websocket-key"]


def agreed(asked: RequestHead, head: ResponseHead) -> None:
    """Make of ``head``, a server's 2xx, the 101 that answers what was ``asked``."""
    accept = handshake.accept_for(handshake.check_request(asked.method, asked.headers))
    head.status, head.reason, head.upgrade = 101, b"Switching Protocols", b"websocket"
    head.content_length, head.chunked, head.block = None, False, None
    head.plain = [pair for pair in head.plain if pair[0] != b"sec-websocket-accept"]
    head.plain.append((b"Sec-WebSocket-Accept", accept))


class ServerStreamEnd:
    """A :class:`~balancer.forwarding.ends.TunnelEnd` that is a stream."""

    __slots__ = ("_connection", "_stream", "pauseProducing", "resumeProducing")

    def __init__(self, connection: HTTP2Connection, stream: ServerStream) -> None:
        self._connection = connection
        self._stream = stream
        self.pauseProducing = stream.pauseProducing
        self.resumeProducing = stream.resumeProducing

    def write(self, data: bytes) -> None:
        """Send ``data``."""
        if not self._stream.closed:
            self._connection.session.send(self._stream.number, data)
            self._stream.look_at_queue()
            self._connection.has_output()

    def stopProducing(self) -> None:
        """Nothing: the tunnel is told of what has ended by other means."""

    def feed_from(self, producer: Any) -> None:
        """Pause ``producer`` while too much waits for the server's windows, or for the connection."""
        self._stream.feed_from(producer)

    def feed_no_more(self) -> None:
        """There is no producer any more."""
        self._stream.streamed()

    def end(self) -> None:
        """Say END_STREAM after what was written."""
        self.feed_no_more()
        if not self._stream.closed:
            self._connection.session.end(self._stream.number)
            self._connection.has_output()

    def close(self) -> None:
        """The same; the tunnel aborts a server that does not end its half in time."""
        self.end()

    def abort(self) -> None:
        """Reset the stream."""
        self._stream.close()

    def unsent(self) -> int:
        """Return how much waits here, or in the kernel for the connection as a whole."""
        return self._connection.session.queued(self._stream.number) + unacknowledged(self._connection.transport)

    def __repr__(self) -> str:
        return f"<ServerStreamEnd {self._stream!r}>"
