"""Where the server side of an exchange comes from when no connection is kept: a new connection, or room on a shared one.

What to do is decided by the server's :class:`~balancer.pools.shared.SharedConnections`; here it is done. A server's protocol is known
from the configuration, or (``auto``) from what TLS has agreed on with it, for each connection anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from balancer import errors
from balancer.errors import ExchangeError
from balancer.forwarding.http2.connection import HTTP2Connection
from balancer.forwarding.server_connection import ServerConnection
from balancer.forwarding.server_side import ServerSide
from balancer.model.tls import TLSInfo
from balancer.net.gathering import Gathered, at_once
from balancer.net.timers import Wheel
from balancer.pools.server import Server
from balancer.pools.shared import Opening, SharedConnections

__all__ = ["ALPN", "Dial", "ServerConnector"]

ALPN = {"http1": ("http/1.1",), "h2": ("h2",), "auto": ("h2", "http/1.1")}
"""What is offered in TLS, by the protocol that a pool is to speak."""

Dial = Callable[..., "Deferred[Any]"]
"""``dial(server, then, alpn, timeout, first)``: connects to a server; ``then(tls)`` makes the protocol, at once without TLS (None), else once
it is known which of ``alpn`` the server wants to speak; the bytes ``first``, where there are any, go before everything. Fires with what ``then`` made; fails as that does."""


class ServerConnector:
    """Makes connections of HTTP.

    Args:
        dial: makes a connection, with or without TLS.
        wheel: the shared timer.
        gather: puts connections down to be flushed at the end of the reactor's batch; see :mod:`balancer.net.gathering`.
    """

    def __init__(self, dial: Dial, wheel: Wheel, gather: Callable[[Gathered], bool] = at_once) -> None:
        self._dial = dial
        self._wheel = wheel
        self._gather = gather

    def __call__(
        self, server: Server, timeout: float, *, alone: bool = False, first: bytes = b"", whom: bytes = b""
    ) -> Deferred[ServerSide]:
        """Return what fires with the server side of an exchange with ``server``.

        Args:
            server: where to.
            timeout: seconds that a connection may take to be made, until the server has said what it allows.
            alone: the exchange wants a connection of its own, of HTTP/1.1.
            first: what that begins with, before TLS too: a PROXY header.
            whom: whose requests alone it may carry, where there is such a header.
        """
        shared = server.shared
        if shared is None or alone:
            then = partial(self._http1, server, whom=whom)
            making: Deferred[ServerSide] = self._dial(server, then, ALPN["http1"], timeout, first)
            return making.addCallback(_aged)
        found = shared.decide(time.monotonic())
        if isinstance(found, Opening):
            return shared.wait(found)
        if found is not None:
            return succeed(found)
        opening = shared.open()
        waiting = shared.wait(opening)
        self._open(server, shared, opening, timeout)
        return waiting

    def _place(self, server: Server, shared: SharedConnections, waiting: list[Deferred[Any]], timeout: float) -> None:
        """Find something else for those whose connection has no room for them."""
        for each in waiting:
            found = shared.decide(time.monotonic())
            if isinstance(found, Opening):
                found.waiting.append(each)
            elif found is not None:
                each.callback(found)
            else:
                opening = shared.open()
                opening.waiting.append(each)
                self._open(server, shared, opening, timeout)

    def _open(self, server: Server, shared: SharedConnections, opening: Opening, timeout: float) -> None:
        began = time.monotonic()

        def connected(connection: Any) -> Any:
            if not isinstance(connection, HTTP2Connection):
                return connection
            # What is left of the time is for the server to say what it allows.
            left = max(self._wheel.tick, timeout - (time.monotonic() - began))
            limit = self._wheel.schedule(left, partial(_too_late, connection))

            def ended(result: Any) -> Any:
                limit.end()
                return result

            return connection.ready.addBoth(ended)

        def opened(connection: Any) -> None:
            _aged(connection)
            if isinstance(connection, HTTP2Connection):
                left = shared.opened(opening, connection)
            else:
                left = shared.is_unshared(opening)
                if left:
                    left.pop(0).callback(connection)
                else:
                    connection.finish(time.monotonic(), True)
            self._place(server, shared, left, timeout)

        def failed(failure: Failure) -> None:
            shared.failed(opening, failure)

        connecting = self._dial(server, partial(self._agreed, server, shared), ALPN[server.protocol], timeout)
        opening.cancel = connecting.cancel
        connecting.addCallback(connected)
        connecting.addCallbacks(opened, failed)

    def _agreed(self, server: Server, shared: SharedConnections, tls: TLSInfo | None) -> Any:
        if (
            tls is not None and tls.alpn != "h2" and server.protocol == "h2"
        ):  # RFC 9113 section 3.2: no guesses over TLS
            agreed = tls.alpn or "nothing"
            raise ExchangeError(errors.HTTP_PROTOCOL_ERROR, f"TLS has agreed on {agreed} with the server, not on h2")
        if server.protocol == "h2" or (tls is not None and tls.alpn == "h2"):
            return HTTP2Connection(server, shared, self._wheel, secure=tls is not None, gather=self._gather)
        return self._http1(server, tls)

    def _http1(self, server: Server, tls: TLSInfo | None, whom: bytes = b"") -> ServerConnection:
        connection = ServerConnection(server, self._wheel)
        if whom:
            connection.whom = whom
        return connection


def _aged(connection: Any) -> Any:
    """Let the connection grow old from now on."""
    connection.expires = time.monotonic() + connection.server.idle.settings.max_age
    return connection


def _too_late(connection: HTTP2Connection) -> None:
    connection.give_up(ExchangeError(errors.CONNECTION_TIMEOUT, "the server did not say in time what HTTP/2 it allows"))
