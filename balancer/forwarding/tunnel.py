"""After a 101: two connections joined, bytes passed on unread (WebSocket and other upgrades).

Back-pressure both ways by paired producers; an end of stream is passed on as one; idle time is limited. When both
directions have ended, or one connection broke, the tunnel is done and says so once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from balancer.forwarding.server_connection import ServerConnection

__all__ = ["Tunnel"]


class Tunnel:
    """Joins a client's transport and a server connection.

    Args:
        connection: the server side, its response read up to the 101.
        idle: seconds without a byte in either direction before both sides are closed.
        done: called once at the end with ``(bytes from client, bytes from server, error code or "")``.
    """

    __slots__ = ("_client", "_connection", "_done", "_idle", "bytes_in", "bytes_out")

    def __init__(self, connection: ServerConnection, idle: float, done: Callable[[int, int, str], None]) -> None:
        self._connection = connection
        self._client: Any = None
        self._idle = idle
        self._done: Callable[[int, int, str], None] | None = done
        self.bytes_in = 0
        self.bytes_out = 0

    def join(self, client: Any, from_client: bytes, from_server: bytes) -> None:
        """Start, with the bytes that either side sent behind its head."""
        self._client = client
        connection = self._connection
        connection.owner = None
        connection.tunnel = self
        connection.limit(self._idle)
        client.registerProducer(connection.transport, True)
        connection.transport.registerProducer(client, True)
        if from_server:
            self.from_server(from_server)
        if from_client:
            self.from_client(from_client)

    def from_client(self, data: bytes) -> None:
        """Pass on bytes of the client."""
        self.bytes_in += len(data)
        self._connection.touch()
        self._connection.transport.write(data)

    def from_server(self, data: bytes) -> None:
        """Pass on bytes of the server."""
        self.bytes_out += len(data)
        self._connection.touch()
        self._client.write(data)

    def client_ended(self) -> None:
        """The client sends no more."""
        transport = self._connection.transport
        transport.unregisterProducer()  # a transport may wait for its producer's last word before it sends FIN
        transport.loseWriteConnection()

    def client_lost(self, reason: Failure) -> None:
        """The client's connection is gone."""
        self._end("" if reason.check(ConnectionDone) else "http_request_error")

    def server_lost(self, reason: Failure) -> None:
        """The server's connection is gone."""
        self._end("" if reason.check(ConnectionDone) else "connection_terminated")

    def timed_out(self) -> None:
        """Nothing moved for too long."""
        self._end("connection_read_timeout")

    def close(self) -> None:
        """End both sides: the service stops."""
        self._end("")

    def _end(self, code: str) -> None:
        done, self._done = self._done, None
        if done is None:
            return
        for transport in (self._client, self._connection.transport):
            transport.unregisterProducer()
            if code:
                transport.abortConnection()
            else:
                transport.loseConnection()
        done(self.bytes_in, self.bytes_out, code)
