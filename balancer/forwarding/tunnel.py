"""After a 101: two ends joined, bytes passed on unread. WebSocket, where more is known, is :mod:`.websocket`.

Back-pressure both ways by paired producers; an end of stream is passed on as one; idle time is limited. When both
directions have ended, or one connection broke, the tunnel is done and says so once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from balancer.forwarding.ends import TunnelEnd
from balancer.net.timers import Entry, Wheel

__all__ = ["LAST_BYTES", "Tunnel", "TunnelSettings", "WebSocketPolicy"]

LAST_BYTES = 10.0
"""Seconds that a server has to take what was written to it before the tunnel ended."""


@dataclass(frozen=True, slots=True)
class WebSocketPolicy:
    """What is done about WebSockets besides passing them on.

    ``ping`` is after how many seconds of silence an end is pinged, None for never; ``pong_timeout`` how long it may then stay
    silent; ``ping_client`` and ``ping_server`` say which ends. ``strict`` closes at what the RFC forbids, ``max_frame`` at longer
    payloads (bytes).
    """

    ping: float | None = None
    pong_timeout: float = 10.0
    ping_client: bool = True
    ping_server: bool = False
    strict: bool = False
    max_frame: int | None = None


@dataclass(frozen=True, slots=True)
class TunnelSettings:
    """How the tunnels of a listener are treated; one lives on with those that it began with.

    ``idle`` is after how many seconds of silence in both directions one is closed.
    """

    wheel: Wheel
    idle: float = 300.0
    websocket: WebSocketPolicy = WebSocketPolicy()


class Tunnel:
    """Joins two ends.

    Args:
        settings: of the listener.
        done: called once at the end with the tunnel and an error code, or "".

    Whoever makes the ends calls :meth:`from_client`, :meth:`client_ended`, :meth:`client_lost`, and the same of the server.
    """

    __slots__ = ("_client", "_done", "_server", "_settings", "_timer", "bytes_in", "bytes_out", "detail")

    _client: TunnelEnd
    _server: TunnelEnd
    _timer: Entry

    def __init__(self, settings: TunnelSettings, done: Callable[[Tunnel, str], None]) -> None:
        self._settings = settings
        self._done: Callable[[Tunnel, str], None] | None = done
        self.bytes_in = 0
        self.bytes_out = 0
        self.detail = ""

    def join(self, client: TunnelEnd, server: TunnelEnd, from_client: bytes, from_server: bytes) -> None:
        """Start, with the bytes that either side sent behind its head."""
        self._timer = self._settings.wheel.schedule(self._settings.idle, self.timed_out)
        self._client = client
        self._server = server
        client.feed_from(server)
        server.feed_from(client)
        if from_server:
            self.from_server(from_server)
        if from_client:
            self.from_client(from_client)

    def from_client(self, data: bytes) -> None:
        """Pass on bytes of the client."""
        self.bytes_in += len(data)
        self._timer.touch()
        self._server.write(data)

    def from_server(self, data: bytes) -> None:
        """Pass on bytes of the server."""
        self.bytes_out += len(data)
        self._timer.touch()
        self._client.write(data)

    def client_ended(self) -> None:
        """The client sends no more."""
        self._server.end()

    def client_lost(self, reason: Failure) -> None:
        """The client's connection is gone."""
        self._end("" if reason.check(ConnectionDone) else "http_request_error")

    def server_lost(self, reason: Failure) -> None:
        """The server's connection is gone."""
        self._end("" if reason.check(ConnectionDone) else "connection_terminated")
        self._timer.end()

    def timed_out(self) -> None:
        """Nothing moved for too long; or the server did not take the last bytes."""
        if self._done is None:
            self._server.abort()
        else:
            self._end("connection_read_timeout")

    def drain(self) -> None:
        """The listener will not be there for long. What is said in here is not known, so there is no way to end it well."""

    def _end(self, code: str, *, abort: bool = True) -> None:
        """Close both ends; with ``abort``, by a reset if there is a ``code``."""
        done, self._done = self._done, None
        if done is None:
            return
        for end in (self._client, self._server):
            if code and abort:
                end.abort()
            else:
                end.close()
        self._timer.reset(LAST_BYTES)
        done(self, code)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.bytes_in} in, {self.bytes_out} out{'' if self._done else ', over'}>"
