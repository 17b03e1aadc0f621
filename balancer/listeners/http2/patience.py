"""How long an HTTP/2 client may take: one look at a connection every so often, at all that should have moved since.

======================================================  ==========================================================
the preface and SETTINGS have not come                  closed after ``timeouts.head``
no request is in service                                GOAWAY and closed after ``timeouts.keep_alive``
a body comes with less than 1 kB/s, or not at all       408 after ``timeouts.body_idle``
nothing of an answer goes, as the windows are shut      that stream is reset after ``timeouts.body_idle``
nothing of any answer goes                              GOAWAY and closed then, with those that are held back
nothing goes out of the transport                       cut after ``timeouts.body_idle``
======================================================  ==========================================================

Tunnels have a limit of their own (``timeouts.idle``), and keep to it: a connection that carries nothing else may stand still.

Streams come and go by the thousand in a second, so none has a timer. What is looked at every quarter of the shortest limit is
found out a quarter of it too late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from balancer import errors
from balancer.errors import ExchangeError
from balancer.wire.http2.interface import CANCEL, ENHANCE_YOUR_CALM, NO_ERROR, SETTINGS_TIMEOUT

if TYPE_CHECKING:
    from balancer.listeners.http2.channel import HTTP2Channel

__all__ = ["Patience"]

_SLOWEST_BODY = 1000
"""Bytes per second below which a body is given up."""
_LOOKS = 4
"""How often to look within the shortest time that is allowed for something."""


class Patience:
    """Looks at one connection; ``span`` is in how many seconds to look next."""

    __slots__ = ("_channel", "_full_since", "_idle_since", "_opened", "_served", "_unsent", "span")

    def __init__(self, channel: HTTP2Channel) -> None:
        self._channel = channel
        self._opened = self._idle_since = 0.0
        self._served = 0
        self._full_since = -1.0
        self._unsent = 0
        timeouts = channel.site_now().timeouts
        self.span = min(timeouts.head, timeouts.body_idle, timeouts.keep_alive) / _LOOKS

    def begin(self, now: float) -> None:
        """The connection has come."""
        self._opened = self._idle_since = now

    def look(self, now: float) -> None:
        """End what has not moved for too long."""
        channel = self._channel
        session = channel.session
        timeouts = channel.site_now().timeouts
        if channel.is_full:
            if any(request.tunnel is None for request in channel.requests.values()) or not channel.requests:
                self._look_at_transport(now, timeouts.body_idle)
            return
        self._full_since = -1.0
        if not session.settled:
            if now - self._opened >= timeouts.head:
                channel.counts.goaways["settings_timeout"] += 1
                channel.leave(SETTINGS_TIMEOUT)
            return
        self.span = min(timeouts.body_idle, timeouts.keep_alive) / _LOOKS
        self._look_at_answers(timeouts.body_idle)
        for request in tuple(channel.requests.values()):
            body = request.body
            if body.ended:
                continue
            span = now - request.seen_at
            # An answer in progress has limits of its own; a client that reads it may have stopped its upload for it. A call of
            # gRPC that is forwarded has such limits from the beginning: its client has something to say or not.
            record = request.record
            if request.responded or request.is_held or (record.grpc and record.pool):
                request.seen, request.seen_at = body.received, now
            elif span >= timeouts.body_idle:
                if body.received - request.seen < _SLOWEST_BODY * span:
                    channel.give_up(request, ExchangeError(errors.HTTP_REQUEST_TIMEOUT, "the body stopped arriving"))
                else:
                    request.seen, request.seen_at = body.received, now
        if channel.served != self._served or session.open_streams or channel.requests:
            self._served = channel.served
            self._idle_since = now
        elif now - self._idle_since >= timeouts.keep_alive:
            channel.counts.goaways["idle"] += 1
            channel.leave(NO_ERROR)
        else:
            channel.make_small()

    def _look_at_answers(self, limit: float) -> None:
        channel = self._channel
        session = channel.session
        stalled = session.stalled(limit)
        if stalled:
            tunnels = [stream for stream, each in channel.requests.items() if each.tunnel is not None]
            stalled = [stream for stream in stalled if stream not in tunnels]
        if not stalled:
            return
        if channel.backlog.is_clogged and not any(
            session.queued(each) for each in set(channel.requests).difference(stalled)
        ):
            stalled = [*{*stalled, *channel.requests}]  # those that are held back would come to the same
        none_moves = len(stalled) == session.open_streams
        for stream in stalled:
            channel.reset(stream, CANCEL)
            request = channel.requests.pop(stream, None)
            if request is not None:  # else its answer was complete
                channel.give_up(request, ExchangeError(errors.CLIENT_TOO_SLOW))
                request.release()
        if none_moves:
            channel.counts.goaways["stalled"] += 1
            channel.leave(ENHANCE_YOUR_CALM)

    def _look_at_transport(self, now: float, limit: float) -> None:
        unsent = self._channel.unsent()
        if self._full_since < 0.0 or unsent != self._unsent:
            self._full_since, self._unsent = now, unsent
        elif now - self._full_since >= limit:
            self._channel.abort()
