"""What the pure library's session makes of what arrives: streams, header lists, bodies, windows.

``h2`` is shown what is as it should be, so that it keeps the streams' states. It ends a connection over much that concerns one stream
only, and counts what it need not; so header lists are decoded and judged here first, and it sees them without the body's length, and
bodies without their bytes.
"""

from __future__ import annotations

from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from hpack.exceptions import HPACKError, OversizedHeaderListError
from hpack.hpack import Decoder

from balancer.model.headers import RawHeaders
from balancer.wire.http2 import messages
from balancer.wire.http2.frames import (
    DATA,
    ENABLE_CONNECT_PROTOCOL,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    HEADER_TABLE_SIZE,
    HEADERS,
    HIGHEST,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    frame,
    reset,
    settings,
    window_update,
)
from balancer.wire.http2.framing import Framing
from balancer.wire.http2.interface import (
    COMPRESSION_ERROR,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    TOLERATED,
    Limits,
    Told,
)
from balancer.wire.http2.streams import Stream
from balancer.wire.http2.watch import Watch

__all__ = ["BY_US", "ENDED", "Reading"]

_REMEMBERED = 512
_TABLE = 4096

# How a stream that is over came to its end.
BY_US, BY_PEER, ENDED = 0, 1, 2


class _Decoded:
    """Stands in for the decoder of ``h2``: hands over the list that was decoded and judged before."""

    def __init__(self) -> None:
        self.headers: Any = []

    def decode(self, data: bytes, raw: bool = False) -> Any:
        return self.headers


class Reading(Framing):
    """The side of a session that reads. What it answers is left to whoever inherits it."""

    def __init__(self, told: Told, limits: Limits, *, server: bool) -> None:
        super().__init__(preface=server)
        self._told = told
        self._limits = limits
        self._server = server
        self._watch = Watch(limits, server)
        self._streams: dict[int, Stream] = {}
        self._over: dict[int, int] = {}  # streams that are over, and how; the last ones only
        self._blocked: dict[int, Stream] = {}  # streams with something queued, the one to be served next first
        self._lowered: list[int] = []  # streams whose queue has room again
        self._next = 1
        self._highest = 0  # of the peer's streams
        self._last = HIGHEST  # streams above are not taken any more
        self._failed = self._leaving = self._left_by_peer = False
        self._out: list[bytes] = []
        self._now = 0.0
        self._sent_settings: float | None = 0.0  # when, until they are acknowledged
        self._window = max(limits.stream_window, 65535)  # of new streams; what we say counts once it is acknowledged
        self._room = limits.connection_window
        self._owed = 0
        self.streams_allowed = 100
        self.connect_allowed = False
        self._h2 = H2Connection(
            H2Configuration(
                client_side=not server,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
            )
        )
        self._h2.incoming_buffer._preamble_len = 0
        self._h2.max_inbound_frame_size = 1 << 24
        self._h2.local_settings.max_concurrent_streams = 1 << 31
        self._h2.local_settings.acknowledge()
        self._decoded = _Decoded()
        self._h2.decoder = self._decoded  # type: ignore[assignment]
        self._decoder = Decoder()
        self._decoder.max_header_list_size = TOLERATED * limits.head_size

    def took(self, stream: int, size: int) -> None:
        """Give the peer room again; see :meth:`balancer.wire.http2.interface.Session.took`."""
        raise NotImplementedError

    def _pull(self) -> None:
        """Take what ``h2`` has written."""
        raise NotImplementedError

    def _flush(self) -> None:
        """Send what the peer's windows allow."""
        raise NotImplementedError

    def _forget(self, stream: Stream, how: int) -> None:
        number = stream.number
        self._streams.pop(number, None)
        self._blocked.pop(number, None)
        stream.queue.clear()
        stream.queued = 0
        self._remember(number, how)

    def _remember(self, number: int, how: int) -> None:
        over = self._over
        over[number] = how
        if len(over) > _REMEMBERED:
            del over[next(iter(over))]

    def _fail_stream(self, number: int, code: int, words: str) -> None:
        """Reset a stream because of what the peer did (a stream error)."""
        stream = self._streams.get(number)
        if stream is None:
            self._out.append(reset(number, code))
            self._remember(number, BY_US)
        else:
            self._h2.reset_stream(number, code)
            self._pull()
            self._forget(stream, BY_US)
            self._told.stream_reset(number, code)
        if not self._watch.provoked():
            self._fail(ENHANCE_YOUR_CALM, self._watch.words)

    def _give_back(self, size: int) -> None:
        self._owed += size
        if self._owed * 2 >= self._limits.connection_window:
            self._out.append(window_update(0, self._owed))
            self._room += self._owed
            self._owed = 0

    # What arrives.

    def _head(self, number: int, ended: bool, block: bytes) -> None:
        """Read a complete header list."""
        stream = self._streams.get(number)
        new = stream is None and self._server and number > self._highest
        if stream is None and not new:
            over = self._over.get(number)
            if over is None or over == ENDED:
                self._fail(STREAM_CLOSED if over == ENDED else PROTOCOL_ERROR, "HEADERS on a stream that is over")
        if new and not number & 1:
            self._fail(PROTOCOL_ERROR, "a stream with an even number")
        headers: RawHeaders = []
        try:
            headers = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        except OversizedHeaderListError:
            self._fail(ENHANCE_YOUR_CALM, "a header list that is too large")
        except (HPACKError, IndexError, ValueError) as error:
            self._fail(COMPRESSION_ERROR, str(error))
        if len(headers) > TOLERATED * self._limits.header_count:
            self._fail(ENHANCE_YOUR_CALM, "a header list of too many fields")
        if new:
            self._highest = number
            self._new(number, headers, ended)
        elif stream is None:
            if self._over[number] == BY_PEER:
                self._fail_stream(number, STREAM_CLOSED, "HEADERS on a stream that was reset")
        elif not stream.receiving:
            self._fail_stream(number, STREAM_CLOSED, "HEADERS on a stream that was ended")
        elif self._server or stream.answered:
            self._trailers(stream, headers, ended)
        else:
            self._response(stream, headers, ended)

    def _new(self, number: int, headers: RawHeaders, ended: bool) -> None:
        if len(self._streams) >= self._limits.streams or number > self._last:
            self._out.append(reset(number, REFUSED_STREAM))
            self._remember(number, BY_US)
            known = number <= self._last and self._sent_settings is None
            if not (self._watch.provoked() if known else self._watch.refused()):
                self._fail(ENHANCE_YOUR_CALM, self._watch.words)
            return
        try:
            length, connect, cookies = messages.request(headers, self._limits.connect_protocol)
            if ended and length:
                raise messages.MalformedError("content-length, and no body")
        except messages.MalformedError as error:
            self._fail_stream(number, PROTOCOL_ERROR, str(error))
            return
        if cookies > 1:
            headers = messages.joined(headers)
        stream = self._streams[number] = Stream(number, self._window)
        stream.left = length
        stream.connect = connect
        stream.receiving = not ended
        self._show(number, headers, ended)
        self._told.request_came(number, headers, ended)

    def _response(self, stream: Stream, headers: RawHeaders, ended: bool) -> None:
        number = stream.number
        try:
            status, length = messages.response(headers)
            if status < 200 and ended:
                raise messages.MalformedError("a 1xx that ends the stream")
            if stream.head_request or status in (204, 304):
                length = 0
            elif stream.connect and status < 300:
                length = None
            elif ended and length:
                raise messages.MalformedError("content-length, and no body")
        except messages.MalformedError as error:
            self._fail_stream(number, PROTOCOL_ERROR, str(error))
            return
        self._show(number, headers, ended)
        if status < 200:
            self._told.informational_came(number, headers)
            return
        stream.answered = True
        stream.left = length
        if ended:
            self._received_all(stream)
        self._told.response_came(number, headers, ended)

    def _trailers(self, stream: Stream, headers: RawHeaders, ended: bool) -> None:
        try:
            if not ended:
                raise messages.MalformedError("trailers that do not end the stream")
            if stream.connect:
                raise messages.MalformedError("trailers in a tunnel")
            if stream.left:
                raise messages.MalformedError("less than content-length")
            messages.trailers(headers)
        except messages.MalformedError as error:
            self._fail_stream(stream.number, PROTOCOL_ERROR, str(error))
            return
        self._show(stream.number, headers, True)
        self._received_all(stream)
        self._told.stream_ended(stream.number, headers)

    def _received_all(self, stream: Stream) -> None:
        stream.receiving = False
        if not stream.sending:
            self._forget(stream, ENDED)

    def _show(self, number: int, headers: RawHeaders, ended: bool) -> None:
        """Let ``h2`` know of a header list; it would judge lengths in its own way, so it does not see them."""
        self._decoded.headers = [pair for pair in headers if pair[0] != b"content-length"]
        self._pass_on(frame(HEADERS, END_HEADERS | (END_STREAM if ended else 0), number))

    def _pass_on(self, shown: bytes) -> None:
        """Show a frame to ``h2``."""
        try:
            self._h2.receive_data(shown)
        except ProtocolError as error:
            self._h2.clear_outbound_data_buffer()
            self._fail(int(error.error_code), str(error))
        self._pull()

    def _data(self, number: int, data: bytes, size: int, ended: bool) -> None:
        self._room -= size
        if self._room < 0:
            self._fail(FLOW_CONTROL_ERROR, "more than the connection's window")
        stream = self._streams.get(number)
        if stream is None or not stream.receiving:
            self._give_back(size)
            over = self._over.get(number)
            if stream is None and over is None and (number > self._highest if self._server else number >= self._next):
                self._fail(PROTOCOL_ERROR, "DATA on a stream that was not begun")
            if stream is not None or over == BY_PEER:
                self._fail_stream(number, STREAM_CLOSED, "DATA on a stream that was ended")
            elif over != BY_US:
                self._fail(STREAM_CLOSED, "DATA on a stream that is over")
            return
        stream.room -= size
        if stream.room < 0:
            self._give_back(size)
            self._fail_stream(number, FLOW_CONTROL_ERROR, "more than the stream's window")
            return
        if not self._server and not stream.answered:
            self._give_back(size)
            self._fail_stream(number, PROTOCOL_ERROR, "DATA before the response's head")
            return
        if stream.left is not None:
            stream.left -= len(data)
            if stream.left < 0 or (ended and stream.left):
                self._give_back(size)
                self._fail_stream(number, PROTOCOL_ERROR, "not the length of content-length")
                return
        self._pass_on(frame(DATA, END_STREAM if ended else 0, number))
        if size != len(data):
            self.took(number, size - len(data))
        if ended:
            self._received_all(stream)
        if data:
            self._told.data_came(number, data)
        if ended:
            self._told.stream_ended(number, None)

    def _not_begun(self, number: int, what: str) -> None:
        """Fail if there was no such stream yet."""
        if number > self._highest if self._server else (number >= self._next or not number & 1):
            self._fail(PROTOCOL_ERROR, f"{what} on a stream that was not begun")

    def _settings_came(self, values: list[tuple[int, int]]) -> None:
        kept = []
        for which, value in values:
            if which == HEADER_TABLE_SIZE:
                kept.append((which, min(value, _TABLE)))
            elif which == ENABLE_PUSH:
                if value > (1 if self._server else 0):
                    self._fail(PROTOCOL_ERROR, "ENABLE_PUSH")
            elif which == MAX_CONCURRENT_STREAMS:
                self.streams_allowed = value
            elif which == ENABLE_CONNECT_PROTOCOL:
                if value > 1 or (self.connect_allowed and not value):
                    self._fail(PROTOCOL_ERROR, "ENABLE_CONNECT_PROTOCOL")
                self.connect_allowed = bool(value)
            elif which in (INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE):
                kept.append((which, value))
        self._pass_on(settings(*kept))
        self._flush()
        self._told.settings_came()

    def _settings_acknowledged(self) -> None:
        if self._sent_settings is None:
            self._fail(PROTOCOL_ERROR, "an acknowledgement of no SETTINGS")
        self._sent_settings = None
        less = self._window - self._limits.stream_window
        self._window -= less
        if less:
            for stream in self._streams.values():
                stream.room -= less

    def _ping_answered(self, data: bytes) -> None:
        self._told.ping_answered(data)

    def _window_with(self, number: int, increment: int) -> int:
        """Return how large ``increment`` makes the peer's window of a stream, or with 0 of all; -1 for a stream that has ended."""
        if not number:
            return int(self._h2.outbound_flow_control_window) + increment
        if number not in self._streams:
            return -1
        return int(self._h2.streams[number].outbound_flow_control_window) + increment

    def _window_came(self, number: int, increment: int) -> None:
        if not self._watch.crumb(increment, lambda: self._window_with(number, increment)):
            self._fail(ENHANCE_YOUR_CALM, self._watch.words)
        if number and number not in self._streams:
            self._not_begun(number, "WINDOW_UPDATE")
            return
        if not increment:
            if not number:
                self._fail(PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
            self._fail_stream(number, PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
            return
        if number and self._h2.streams[number].outbound_flow_control_window + increment > HIGHEST:
            self._fail_stream(number, FLOW_CONTROL_ERROR, "a window too large")
            return
        self._pass_on(window_update(number, increment))
        if self._blocked:
            self._flush()

    def _reset_came(self, number: int, code: int) -> None:
        stream = self._streams.get(number)
        if stream is None:
            self._not_begun(number, "RST_STREAM")
            return
        self._pass_on(reset(number, code))
        self._forget(stream, BY_PEER)
        self._told.stream_reset(number, code)

    def _goaway_came(self, last: int, code: int) -> None:
        self._left_by_peer = True
        self._told.goaway_came(last, code)
        if not self._server:
            for above in [each for each in self._streams if each > last]:
                if (stream := self._streams.get(above)) is not None:
                    self._forget(stream, BY_PEER)
                    self._told.stream_reset(above, REFUSED_STREAM)
