"""A stream as one end of a tunnel: what becomes of an extended CONNECT (RFC 8441) once a server has agreed to it.

::

    asked: what comes waits ──> joined: what comes goes to the tunnel ──> over
              │                     └── reset, or the connection lost: the tunnel is told how
              └──> refused: an ordinary response, what comes is thrown away

END_STREAM is what a FIN is on a connection of its own, RST_STREAM with CANCEL what a RST is (section 5). What a server does not
take counts against its stream's window alone, not the connection's: a tunnel that stands still must not stop the others.
"""

from __future__ import annotations

import base64
import os
from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from balancer import errors
from balancer.errors import ExchangeError
from balancer.forwarding.ends import TunnelEnd
from balancer.forwarding.tunnel import Tunnel
from balancer.listeners.http.switching import agreed
from balancer.listeners.http2.request import StreamRequest
from balancer.model.exchange import Exchange
from balancer.model.headers import RawHeaders, first
from balancer.net.unsent import unacknowledged
from balancer.wire.http1.heads import RequestHead
from balancer.wire.http2.heads import response_fields
from balancer.wire.http2.interface import CANCEL
from balancer.wire.websocket.handshake import accept_for

__all__ = ["AskingRequest", "StreamEnd", "agreement", "check_refusal", "prepare"]

_KEY, _ACCEPT = b"sec-websocket-key", b"sec-websocket-accept"


def prepare(head: RequestHead) -> bytes | None:
    """Make ``head``, of an extended CONNECT, what a server of HTTP/1.1 is to be asked: with a key, which HTTP/2 has no need of.

    Returns:
        The key of a client that sent one all the same.

    Raises:
        ExchangeError: it asks for something else than a WebSocket (501, RFC 9220 section 3).
    """
    asked = head.upgrade
    if asked is None or asked.lower() != b"websocket":
        raise ExchangeError(errors.HTTP_NOT_IMPLEMENTED, f":protocol {(asked or b'').decode('latin-1')}")
    head.upgrade = b"websocket"
    given = first(head.headers, _KEY)
    key = (_KEY, base64.b64encode(os.urandom(16)))
    for fields in (head.headers, head.plain):
        fields[:] = [pair for pair in fields if pair[0] != _KEY]
        fields.append(key)
    return given


def agreement(headers: RawHeaders, key: bytes | None) -> RawHeaders:
    """Return the header list for a client of a server's 101: a 200, whose ``Sec-WebSocket-Accept`` is for those who sent a ``key``.

    It means nothing in HTTP/2 (RFC 8441 section 5), but there are clients that send one and want the answer.
    """
    fields = [pair for pair in response_fields(200, headers) if pair[0] != _ACCEPT]
    if key is not None:
        fields.append((_ACCEPT, accept_for(key)))
    return fields


def check_refusal(status: int, pool: str) -> None:
    """Look at the answer to an extended CONNECT that was not agreed to, from ``pool`` or (``""``) the balancer: it must not look agreed to.

    Raises:
        ExchangeError: it is a 2xx, which would be read as a WebSocket's beginning.
    """
    if 200 <= status < 300:
        if not pool:
            raise ExchangeError(errors.HTTP_NOT_IMPLEMENTED, "there is no WebSocket here")
        raise ExchangeError(errors.HTTP_UPGRADE_FAILED, f"the server has answered {status}, and not switched")


class StreamEnd:
    """The client's end: a :class:`~balancer.forwarding.ends.TunnelEnd` that ``request`` is the producer's side of.

    ``ended``: the client has said that it sends no more. ``key`` is the one it sent, if any. ``tunnel`` is what it belongs to, None before it is agreed upon.
    """

    __slots__ = ("_early", "_held", "_owed", "_request", "ended", "key", "tunnel")

    def __init__(self, request: AskingRequest, ended: bool, key: bytes | None) -> None:
        self._request = request
        self.ended = ended
        self.key = key
        self.tunnel: Tunnel | None = None
        self._early: list[bytes] | None = []  # None: nobody will ask for it
        self._held = True  # the server takes no more, or there is none yet
        self._owed = 0  # bytes that came since, and count against the stream's window

    def __repr__(self) -> str:
        return f"<StreamEnd {self._request.stream} of {self.tunnel!r}>"

    # From the channel.

    def data_came(self, data: bytes) -> None:
        """Pass on what the client said, or keep it until there is somebody to pass it on to."""
        channel = self._request.channel
        size = len(data)
        channel.session.took_of_connection(size)
        if self._held:
            self._owed += size
        else:
            channel.session.took_of_stream(self._request.stream, size)
        channel.has_output()
        if self.tunnel is not None:
            self.tunnel.from_client(data)
        elif self._early is not None:
            self._early.append(data)

    def client_ended(self) -> None:
        """The client sends no more."""
        self.ended = True
        if self.tunnel is not None:
            self.tunnel.client_ended()

    def lost(self, reason: Failure) -> bool:
        """The stream is gone, or its connection; return whether there is a tunnel, which is told."""
        self.ended = True
        if self.tunnel is None:
            return False
        self.tunnel.client_lost(reason)
        return True

    # From the exchange.

    def begin(self, tunnel: Tunnel) -> bytes:
        """Belong to ``tunnel``; return what the client has said already."""
        self.tunnel = tunnel
        early, self._early = self._early or [], None
        self.resumeProducing()
        return b"".join(early)

    def refuse(self) -> None:
        """There will be no tunnel: throw away what comes."""
        self._early = None
        self.resumeProducing()

    # From the tunnel.

    def write(self, data: bytes) -> None:
        """Send ``data``."""
        self._request.say(data)

    def pauseProducing(self) -> None:
        """Give the client no more room, for now."""
        self._held = True

    def resumeProducing(self) -> None:
        """Give the client room for what came meanwhile."""
        self._held = False
        owed, self._owed = self._owed, 0
        if owed:
            channel = self._request.channel
            channel.session.took_of_stream(self._request.stream, owed)
            channel.has_output()

    def stopProducing(self) -> None:
        """Nothing: the tunnel is told of what has ended by other means."""

    def feed_from(self, producer: Any) -> None:
        """Pause ``producer`` while too much waits for the client's window, or for the connection."""
        self._request.stream_from(producer)

    def feed_no_more(self) -> None:
        """There is no producer any more."""
        self._request.forget_producer()

    def end(self) -> None:
        """Say END_STREAM after what was written."""
        self.feed_no_more()
        channel = self._request.channel
        channel.session.end(self._request.stream)
        channel.has_output()

    def close(self) -> None:
        """The same; the client has a moment to do so too, then the stream is reset."""
        self.end()

    def abort(self) -> None:
        """Reset the stream."""
        self.feed_no_more()
        self.ended = True
        request = self._request
        if request.stream in request.channel.requests:  # else it is the client that has
            request.channel.reset(request.stream, CANCEL)
            request.channel.has_output()

    def unsent(self) -> int:
        """Return how much waits here, or in the kernel for the connection as a whole."""
        channel = self._request.channel
        return channel.session.queued(self._request.stream) + unacknowledged(channel.transport)


class AskingRequest(StreamRequest):
    """An extended CONNECT for a WebSocket: a request without a body whose stream may become the end of a tunnel."""

    __slots__ = ("end_of_tunnel",)

    end_of_tunnel: StreamEnd

    @property
    def tunnel(self) -> Tunnel | None:  # type: ignore[override]
        """What the stream belongs to, if a WebSocket was agreed to."""
        return self.end_of_tunnel.tunnel

    @property
    def ended(self) -> bool:
        """Whether the client has said that it sends no more."""
        return self.end_of_tunnel.ended

    def respond(
        self,
        status: int,
        reason: bytes | None,
        headers: RawHeaders,
        length: int | None,
        block: bytes | None = None,
        version: str = "1.1",
    ) -> None:
        """Begin a response that is no agreement, and must not look like one."""
        if self.exchange is None:
            check_refusal(status, self.record.pool)
        super().respond(status, reason, headers, length, block, version)

    def _filtered(
        self, exchange: Exchange, status: int, headers: RawHeaders, length: int | None
    ) -> tuple[int, RawHeaders]:
        status, headers = super()._filtered(exchange, status, headers, length)
        check_refusal(status, self.record.pool)
        return status, headers

    def upgrade(self, protocol: bytes, headers: RawHeaders, tunnel: Tunnel) -> tuple[TunnelEnd, bytes]:
        """Agree, which is a 200, and hand the stream to ``tunnel``; return its end and what the client sent already.

        Raises:
            ExchangeError: if a filter that must have its say on the response failed; nothing has begun then.
        """
        end = self.end_of_tunnel
        self._fields = agreement(agreed(headers, self.exchange), end.key)
        self.flush()
        self.responded = True
        self.record.status = 200
        return end, end.begin(tunnel)

    def say(self, data: bytes) -> None:
        """Send what came out of a tunnel."""
        self.channel.session.send(self.stream, data)
        if self._streaming and self._is_over_full():
            self.pause()
        self.channel.has_output()

    def no_upgrade(self) -> None:
        """The server did not switch protocols: this is an ordinary request."""
        self.end_of_tunnel.refuse()

    def tunnel_ended(self) -> None:
        """The tunnel is done; its record can be written."""
        self._finish()

    def gone(self, reason: Failure = connectionDone) -> None:
        """The stream, or its connection, was ended by the client; a tunnel is told the ``reason``."""
        if not self.end_of_tunnel.lost(reason):
            super().gone()
