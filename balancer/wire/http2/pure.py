"""A session on the pure ``h2`` library, for where libnghttp2 is not.

``h2`` keeps the streams' states and the windows towards the peer, and writes the frames. What arrives comes to it by two stages that
do what it does not, or not as strictly::

    bytes -> Watch (what comes too often) -> Framing (what a frame must be) -> Reading (messages, streams) -> h2 -> Told
"""

from __future__ import annotations

from typing import NoReturn

from hpack.struct import NeverIndexedHeaderTuple

from balancer.model.headers import RawHeaders
from balancer.wire.http2.frames import (
    ENABLE_CONNECT_PROTOCOL,
    ENABLE_PUSH,
    HIGHEST,
    INITIAL_WINDOW_SIZE,
    LARGEST,
    MAX_CONCURRENT_STREAMS,
    MAX_HEADER_LIST_SIZE,
    PING,
    PREFACE,
    frame,
    goaway,
    settings,
    window_update,
)
from balancer.wire.http2.interface import (
    LOW_WATER,
    NO_ERROR,
    SETTINGS_TIMEOUT,
    Limits,
    SessionError,
    Told,
)
from balancer.wire.http2.reading import BY_US, ENDED, Reading
from balancer.wire.http2.streams import Stream

__all__ = ["PureSession"]


class PureSession(Reading):
    """A :class:`balancer.wire.http2.interface.Session`."""

    library = "h2"

    def __init__(self, told: Told, limits: Limits, *, server: bool) -> None:
        super().__init__(told, limits, server=server)
        self._begin()

    def _begin(self) -> None:
        limits = self._limits
        values = [(INITIAL_WINDOW_SIZE, limits.stream_window), (MAX_HEADER_LIST_SIZE, limits.head_size)]
        if self._server:
            values.append((MAX_CONCURRENT_STREAMS, limits.streams))
            if limits.connect_protocol:
                values.append((ENABLE_CONNECT_PROTOCOL, 1))
        else:
            values.append((ENABLE_PUSH, 0))
            self._out.append(PREFACE)
        self._out.append(settings(*values))
        if limits.connection_window > 65535:
            self._out.append(window_update(0, limits.connection_window - 65535))
        else:
            self._room = 65535

    # What the owner says.

    def at(self, now: float) -> None:
        if self._sent_settings == 0.0:
            self._sent_settings = now
        self._now = now
        self._watch.at(now)

    def feed(self, data: bytes) -> None:
        if self._failed:
            return
        if self._sent_settings and self._now - self._sent_settings > self._limits.settings_timeout:
            self._fail(SETTINGS_TIMEOUT, "SETTINGS were not acknowledged in time")
        good = self._watch.scan(data)
        self._read(data if good == len(data) else data[:good])
        if self._lowered:
            self._say_room()
        if good != len(data):
            self._fail(self._watch.code, self._watch.words)

    def output(self) -> bytes:
        if self._blocked:
            self._flush()
        if self._lowered:
            self._say_room()
        if not self._out:
            return b""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def request(self, headers: RawHeaders, *, ended: bool) -> int:
        number = self._next
        if number > HIGHEST or self._left_by_peer:
            raise RuntimeError("no new streams are to be had on this connection")
        self._next += 2
        stream = self._streams[number] = Stream(number, self._window)
        for name, value in headers:
            if name == b":method":
                stream.head_request = value == b"HEAD"
                stream.connect = value == b"CONNECT"
                break
        self._send_headers(stream, headers, ended)
        return number

    def inform(self, stream: int, headers: RawHeaders) -> None:
        known = self._streams.get(stream)
        if known is not None and known.sending:
            self._send_headers(known, headers, False)

    def respond(
        self, stream: int, headers: RawHeaders, *, ended: bool = False, last: tuple[bytes, bytes] | None = None
    ) -> None:
        known = self._streams.get(stream)
        if known is not None and known.sending:
            self._send_headers(known, headers, ended, last)

    def send(self, stream: int, data: bytes, *, ended: bool = False) -> None:
        known = self._streams.get(stream)
        if known is None or known.ending or not known.sending:
            return
        known.ending = ended
        if data:
            known.put(data, self._now)
        elif not ended:
            return
        self._blocked[stream] = known
        self._flush()
        if known.queued > LOW_WATER:
            known.high = True

    def end(self, stream: int, trailers: RawHeaders | None = None) -> None:
        known = self._streams.get(stream)
        if known is None or known.ending or not known.sending:
            return
        known.ending = True
        known.trailers = trailers or None
        self._blocked[stream] = known
        self._flush()

    def queued(self, stream: int) -> int:
        known = self._streams.get(stream)
        return 0 if known is None else known.queued

    def took(self, stream: int, size: int) -> None:
        self._give_back(size)
        self.took_of_stream(stream, size)

    def took_of_connection(self, size: int) -> None:
        self._give_back(size)

    def took_of_stream(self, stream: int, size: int) -> None:
        known = self._streams.get(stream)
        if known is not None and known.receiving:
            known.owed += size
            if known.owed * 2 >= self._limits.stream_window:
                self._out.append(window_update(stream, known.owed))
                known.room += known.owed
                known.owed = 0

    def reset(self, stream: int, code: int) -> None:
        known = self._streams.get(stream)
        if known is not None:
            self._h2.reset_stream(stream, code)
            self._pull()
            self._forget(known, BY_US)

    def ping(self, data: bytes) -> None:
        self._out.append(frame(PING, 0, 0, data))

    def goaway(self, code: int = NO_ERROR, *, gracefully: bool = False) -> None:
        if self._failed or (gracefully and self._leaving):
            return
        self._leaving = True
        self._last = HIGHEST if gracefully else min(self._last, self._highest)
        self._out.append(goaway(self._last, code))

    def stalled(self, seconds: float) -> list[int]:
        return [
            number for number, stream in self._streams.items() if stream.queued and self._now - stream.moved >= seconds
        ]

    @property
    def backlog(self) -> int:
        return sum([stream.queued for stream in self._streams.values()])

    @property
    def pending(self) -> bool:
        return bool(self._out)

    @property
    def open_streams(self) -> int:
        return len(self._streams)

    # What is sent.

    def _write(self, data: bytes) -> None:
        self._out.append(data)

    def _pull(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self._out.append(data)

    def _send_headers(
        self, stream: Stream, headers: RawHeaders, ended: bool, last: tuple[bytes, bytes] | None = None
    ) -> None:
        listed = [
            NeverIndexedHeaderTuple(name, value)
            if name == b"authorization" or (name == b"cookie" and len(value) < 20)
            else (name, value)
            for name, value in headers
        ]
        if last is not None:
            listed.append(NeverIndexedHeaderTuple(*last))
        self._h2.send_headers(stream.number, listed, end_stream=ended)
        self._pull()
        if ended:
            stream.ending = True
            self._sent_all(stream)

    def _flush(self) -> None:
        """Send what the peer's windows allow, a frame of each stream in turn."""
        blocked = self._blocked
        h2 = self._h2
        waiting = []
        while blocked:
            number, stream = next(iter(blocked.items()))
            del blocked[number]
            if stream.queued:
                room = min(h2.local_flow_control_window(number), h2.max_outbound_frame_size, LARGEST)
                if room <= 0:
                    waiting.append(stream)
                    continue
                piece = stream.take(room, self._now)
                last = stream.ending and not stream.queued and stream.trailers is None
                h2.send_data(number, piece, end_stream=last)
                self._watch.traffic += 1
                if stream.high and stream.queued < LOW_WATER:
                    stream.high = False
                    self._lowered.append(number)
                if stream.queued or (stream.ending and not last):
                    blocked[number] = stream
            elif stream.trailers is not None:
                last = True
                h2.send_headers(number, stream.trailers, end_stream=True)
            elif stream.ending:
                last = True
                h2.send_data(number, b"", end_stream=True)
            else:
                continue
            if last:
                self._pull()
                self._sent_all(stream)
        for stream in waiting:
            blocked[stream.number] = stream
        self._pull()

    def _say_room(self) -> None:
        while self._lowered:
            lowered, self._lowered = self._lowered, []
            for number in lowered:
                if number in self._streams:
                    self._told.room_came(number)

    def _sent_all(self, stream: Stream) -> None:
        stream.sending = False
        if not stream.receiving:
            self._forget(stream, ENDED)

    def _fail(self, code: int, words: str) -> NoReturn:
        self._failed = True
        self._pull()
        self._out.append(goaway(self._highest, code, words))
        raise SessionError(code, words)
