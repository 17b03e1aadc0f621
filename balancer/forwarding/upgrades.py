"""Changing protocols: what a client asks for is judged before a server is asked, the server's 101 before it is passed on.

WebSocket's handshake is checked on both sides (RFC 6455 section 4); other protocols are joined by a tunnel that knows
nothing of them.
"""

from __future__ import annotations

from collections.abc import Callable

from balancer import errors
from balancer.errors import ExchangeError
from balancer.forwarding.tunnel import Tunnel, TunnelSettings
from balancer.forwarding.websocket import WebSocketTunnel
from balancer.model.frames import WebSocketRecord
from balancer.observe.records import ExchangeRecord
from balancer.observe.websockets import WebSocketMeter
from balancer.wire.http1.heads import RequestHead
from balancer.wire.http1.responses import ResponseHead
from balancer.wire.websocket import handshake

__all__ = ["Upgrades", "check"]


def check(head: RequestHead) -> None:
    """Look at a request for an upgrade.

    Raises:
        ExchangeError: it asks for a WebSocket in a way that no server can agree to.
    """
    if head.upgrade is not None and handshake.is_websocket(head.upgrade):
        handshake.check_request(head.method, head.headers)


class Upgrades:
    """Makes the tunnels of a listener.

    Args:
        listener: its name.
        settings: for each of them.
        meter: counts what goes through WebSockets.
    """

    __slots__ = ("_listener", "_meter", "_settings")

    def __init__(self, listener: str, settings: TunnelSettings, meter: WebSocketMeter) -> None:
        self._listener = listener
        self._settings = settings
        self._meter = meter

    def tunnel(
        self, asked: RequestHead, head: ResponseHead, record: ExchangeRecord, done: Callable[[Tunnel, str], None]
    ) -> Tunnel:
        """Return what joins the two sides of an upgrade that was ``asked`` for, to which ``head`` is the 101.

        Raises:
            ExchangeError: it is not the answer to what was asked.
        """
        wanted, got = asked.upgrade, head.upgrade
        if wanted is None or got is None:
            raise ExchangeError(errors.HTTP_UPGRADE_FAILED, "101 without a request for it")
        is_websocket = got.lower() == b"websocket"
        if not handshake.is_websocket(wanted):
            if is_websocket:
                raise ExchangeError(errors.HTTP_UPGRADE_FAILED, "WebSocket, which nobody asked for")
            return Tunnel(self._settings, done)
        if not is_websocket and b"," in wanted:
            return Tunnel(self._settings, done)
        handshake.check_response(handshake.check_request(asked.method, asked.headers), got, head.plain)
        listener, meter, counts = self._listener, self._meter, WebSocketRecord()

        def begun() -> None:
            record.websocket = counts
            meter.opened(listener, record, counts)

        def ended(tunnel: Tunnel, code: str) -> None:
            meter.closed(counts)
            done(tunnel, code)

        return WebSocketTunnel(self._settings, ended, counts, begun, extended=handshake.is_extended(head.plain))
