"""A WebSocket on its way through: bytes passed on as they are, frames counted, and an end that both sides are told of.

::

    open ──> closing: both sides are told with a close frame, ──> done
      │      at the end of the frame that is on its way,
      │      and have a moment to answer
      └──> done: they said goodbye to each other, or one is gone

Where the balancer ends it (idle, drained, a limit), it puts in a close frame of its own in each direction, between two
frames, and passes on nothing that comes after. A server that goes without a word is made up for: its client is told 1011. A
client that goes without one is not: its server sees what has happened, a connection that ended.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from balancer.forwarding.ends import TunnelEnd
from balancer.forwarding.pings import Pings
from balancer.forwarding.tunnel import Tunnel, TunnelSettings
from balancer.model.frames import FrameCounts, WebSocketRecord
from balancer.wire.websocket.codes import GOING_AWAY, SERVER_FAILED
from balancer.wire.websocket.encode import close_frame, ping_frame
from balancer.wire.websocket.frames import OWN_SIZE, FrameReader

__all__ = ["CLOSING", "WebSocketTunnel"]

CLOSING = 5.0
"""Seconds for the end of the frames that are on their way, and for the answers to our close frames."""


class _Lane:
    """One direction: ``source`` is read, ``to`` written to; ``put_in`` waits to be written where a frame ends.

    ``last``: what is put in is a close frame. ``shut``: nothing more is passed on, as ``to`` was told that it is over.
    ``over``: ``source`` is closed, or about to be. ``careful``: a piece that comes wants a closer look than to be passed on.
    """

    __slots__ = ("careful", "last", "over", "put_in", "reader", "shut", "source", "to", "watched")

    def __init__(self, source: TunnelEnd, to: TunnelEnd, reader: FrameReader) -> None:
        self.source = source
        self.to = to
        self.reader = reader
        self.watched: Pings | None = None  # source is pinged if it is silent
        self.put_in = b""
        self.last = self.shut = self.over = self.careful = False


class WebSocketTunnel(Tunnel):
    """A tunnel that knows what goes through it.

    Args:
        settings: of the listener.
        done: as for any tunnel.
        record: what is counted.
        begun: called when it begins to be.
        extended: whether the two sides have agreed on extensions.
    """

    __slots__ = (
        "_begun",
        "_client_ended",
        "_closing",
        "_down",
        "_extended",
        "_nonce",
        "_said_goodbye",
        "_up",
        "record",
    )

    _up: _Lane
    _down: _Lane

    def __init__(
        self,
        settings: TunnelSettings,
        done: Callable[[Tunnel, str], None],
        record: WebSocketRecord,
        begun: Callable[[], None],
        *,
        extended: bool = False,
    ) -> None:
        super().__init__(settings, done)
        self.record = record
        self._begun = begun
        self._extended = extended
        self._client_ended = False
        self._said_goodbye = False
        self._closing: str | None = None  # the code for the log, while both ends are told
        self._nonce = b""

    def join(self, client: TunnelEnd, server: TunnelEnd, from_client: bytes, from_server: bytes) -> None:
        """Start, with the bytes that either side sent behind its head."""
        self._begun()
        policy, record, extended = self._settings.websocket, self.record, self._extended
        limits = (policy.max_frame, policy.strict)
        self._up = _Lane(client, server, _reader(record.received, True, extended, *limits))
        self._down = _Lane(server, client, _reader(record.sent, False, extended, *limits))
        if policy.ping is not None:
            if policy.ping_client:
                self._watch(self._up, self._down, "the client does not answer pings")
            if policy.ping_server:
                self._watch(self._down, self._up, "the server does not answer pings")
        super().join(client, server, from_client, from_server)

    # What comes. The first part of each runs for every piece, and is the same but for the direction.

    def from_client(self, data: bytes) -> None:
        """Pass on bytes of the client."""
        self.bytes_in += len(data)
        lane = self._up
        data = lane.reader.feed(data)
        if lane.careful:
            self._carefully(lane, data)
        elif data:
            self._timer.touch()
            lane.to.write(data)
        if lane.watched is not None:
            lane.watched.heard()
        if lane.reader.news:
            self._told(lane)

    def from_server(self, data: bytes) -> None:
        """Pass on bytes of the server."""
        self.bytes_out += len(data)
        lane = self._down
        data = lane.reader.feed(data)
        if lane.careful:
            self._carefully(lane, data)
        elif data:
            self._timer.touch()
            lane.to.write(data)
        if lane.watched is not None:
            lane.watched.heard()
        if lane.reader.news:
            self._told(lane)

    def _carefully(self, lane: _Lane, data: bytes) -> None:
        """Pass on ``data``, with what is to be put in; or nothing, where the other side was told that it is over."""
        if lane.shut:
            return
        at = lane.reader.boundary
        if self._closing is None and data:
            self._timer.touch()
        if at < 0:
            lane.to.write(data)
            return
        put_in, lane.put_in = lane.put_in, b""
        if lane.last:
            if lane.reader.closed and lane.reader.at_boundary:
                put_in = b""  # its own goodbye came in the same piece
            lane.to.write(data[:at] + put_in)
            self._shut(lane)
            return
        lane.to.write(data[:at] + put_in + data[at:])
        lane.careful = False
        self._ping_is_sent(lane)

    def _told(self, lane: _Lane) -> None:
        """A close frame came, or something that cannot be passed on."""
        reader = lane.reader
        if self._done is None:
            return
        if self._closing is not None:
            self._look()
        elif reader.fault is not None:
            code, words = reader.fault
            if lane is self._up:
                self._close(code, GOING_AWAY, "http_request_error", words)
            else:
                self._close(SERVER_FAILED, code, "http_protocol_error", words)
        elif not self.record.closed_by:
            self._note("client" if lane is self._up else "server", reader.counts.close_code)
        elif not self._said_goodbye and self._up.reader.closed and self._down.reader.closed:
            self._said_goodbye = True  # the server closes now; if it forgets to, it has not 5 minutes for it
            self._timer.reset(CLOSING)

    def client_ended(self) -> None:
        """The client sends no more."""
        self._client_ended = True
        if self._closing is not None:
            self._up.over = True
            self._look()
            return
        rest = self._up.reader.rest()
        if rest:
            self._server.write(rest)
        self._server.end()

    def client_lost(self, reason: Failure) -> None:
        """The client's connection is gone."""
        self._up.over = True
        if self._closing is not None:
            self._finish()  # the server has been told, or cannot be; nobody is here to wait for it
        elif self._up.reader.closed or self._down.reader.closed:
            self._end("")
        else:
            if self._done is not None:
                self.detail = "the client went without a close frame"
            self._end("" if reason.check(ConnectionDone) else "http_request_error")

    def server_lost(self, reason: Failure) -> None:
        """The server's connection is gone; its client is told, if nobody has."""
        self._down.over = True
        if self._done is None:
            self._timer.end()
            return
        self._deafen(self._up)
        if self._closing is not None:
            self._look()
        elif self._up.reader.closed or self._client_ended:
            self._end("")
            self._timer.end()
        elif self._down.reader.closed:
            self._closing = ""
            self._timer.reset(CLOSING)  # for the answer, which nobody will read: but the goodbye is to be read first
            self._shut(self._down)
        else:
            self._close(SERVER_FAILED, 0, "connection_terminated", "the server went without a close frame")

    # Ending.

    def timed_out(self) -> None:
        """Nothing moved for too long, or an answer did not come."""
        if self._done is None:
            self._server.abort()
        elif self._closing is not None:
            self._finish()
        elif self._said_goodbye:
            self._end("")
        else:
            self._close(GOING_AWAY, GOING_AWAY, "connection_read_timeout", "idle")

    def drain(self) -> None:
        """Tell both sides that it ends."""
        if self._done is not None and self._closing is None and not self._said_goodbye:
            self._close(GOING_AWAY, GOING_AWAY, "shutdown", "")

    def _close(self, to_client: int, to_server: int, code: str, words: str) -> None:
        """Tell both sides, with close codes, why it ends; ``code`` and ``words`` are for the log."""
        self._closing = code
        self.detail = words
        self._timer.reset(CLOSING)
        if not self.record.closed_by:
            self._note("balancer", to_client)
        self._say_goodbye(self._down, to_client, words, None)
        if not self._down.over:
            self._say_goodbye(self._up, to_server, words, os.urandom(4))
        self._look()

    def _say_goodbye(self, lane: _Lane, code: int, words: str, mask: bytes | None) -> None:
        lane.careful = lane.last = True
        lane.put_in = b"" if lane.reader.closed else close_frame(code, words, mask)  # its own was passed on already
        if lane.reader.at_boundary:
            if lane.put_in:
                lane.to.write(lane.put_in)
            self._shut(lane)
        elif lane.over:  # the rest of the frame will never come
            lane.to.close()
            self._shut(lane)

    def _shut(self, lane: _Lane) -> None:
        """Pass on nothing more, but go on reading: an answer is to come."""
        lane.careful = lane.last = lane.shut = True
        lane.to.feed_no_more()
        if not lane.over:
            lane.source.resumeProducing()
        if self._closing is not None:
            self._look()

    def _deafen(self, lane: _Lane) -> None:
        """Nobody is there any more to pass on to; what still comes is read for the answer."""
        lane.careful = lane.shut = True
        lane.source.resumeProducing()

    def _look(self) -> None:
        """If each side was told and has answered, or is gone, it is done."""
        up, down = self._up, self._down
        if (up.over or (up.reader.closed and down.shut)) and (down.over or (down.reader.closed and up.shut)):
            self._finish()

    def _finish(self) -> None:
        self._end(self._closing or "", abort=False)

    def _note(self, who: str, code: int) -> None:
        self.record.closed_by = who
        self.record.close_code = code

    def _end(self, code: str, *, abort: bool = True) -> None:
        for lane in (self._up, self._down):
            if lane.watched is not None:
                lane.watched.stop()
                lane.watched = None
        super()._end(code, abort=abort)

    # Pings of our own.

    def _watch(self, lane: _Lane, back: _Lane, words: str) -> None:
        """Ping ``lane.source`` when it is silent."""
        policy = self._settings.websocket
        assert policy.ping is not None

        def gone() -> None:
            if self._closing is None:
                if lane is self._up:
                    self._close(GOING_AWAY, GOING_AWAY, "http_request_error", words)
                else:
                    self._close(SERVER_FAILED, GOING_AWAY, "connection_terminated", words)

        def ask() -> None:
            if self._closing is None and not back.reader.closed:
                self._ping(lane, back)

        lane.watched = Pings(self._settings.wheel, policy.ping, policy.pong_timeout, lane.source, ask, gone)

    def _ping(self, lane: _Lane, back: _Lane) -> None:
        """Ping ``lane.source``, by ``back``."""
        if not self._nonce:
            self._nonce = os.urandom(OWN_SIZE - 4)
        record = self.record
        record.pings += 1
        lane.reader.own = self._nonce
        payload = self._nonce + (record.pings & 0xFFFFFFFF).to_bytes(4, "big")
        ping = ping_frame(payload, os.urandom(4) if back is self._up else None)
        if back.reader.at_boundary:
            back.to.write(ping)
            self._ping_is_sent(back)
        else:
            back.put_in = ping
            back.careful = True

    def _ping_is_sent(self, back: _Lane) -> None:
        watched = (self._down if back is self._up else self._up).watched
        if watched is not None:
            watched.asked()


def _reader(counts: FrameCounts, masked: bool, extended: bool, max_frame: int | None, strict: bool) -> FrameReader:
    return FrameReader(counts, masked=masked, extended=extended, max_frame=max_frame, strict=strict)
