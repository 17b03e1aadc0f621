"""A session on the pure ``h2`` library, for where libnghttp2 is not.

``h2`` keeps the streams' states and the windows towards the peer, and writes the frames. It ends a connection over much that
concerns one stream only, and trusts its user with the rest; so the frames are taken apart here first, as RFC 9113 sections 4 to 6
have them, and it is shown those that are as they should be: header lists that were judged by :mod:`.messages`, without what it would
count itself.

    bytes -> Watch (what comes too often) -> _frame (what a frame must be) -> _head, _data ... (streams) -> h2 -> Told
"""

from __future__ import annotations

import struct
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from hpack.exceptions import HPACKError, OversizedHeaderListError
from hpack.hpack import Decoder
from hpack.struct import NeverIndexedHeaderTuple

from balancer.model.headers import RawHeaders
from balancer.wire.http2 import messages
from balancer.wire.http2.interface import (
    COMPRESSION_ERROR,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    LOW_WATER,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    SETTINGS_TIMEOUT,
    STREAM_CLOSED,
    TOLERATED,
    Limits,
    SessionError,
    Told,
)
from balancer.wire.http2.streams import Stream, window_update
from balancer.wire.http2.watch import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Watch,
)

__all__ = ["PureSession"]

_HEAD = struct.Struct(">HBBBL")
_PAIR = struct.Struct(">HL")
_LARGEST = 16384
_HIGHEST = 0x7FFFFFFF
_PRIORITY_FLAG = 32
_SENT = 20  # the flag of HEADERS that END_STREAM and END_HEADERS are not
_REMEMBERED = 512
_TABLE = 4096

# How a stream that is over came to its end.
_BY_US, _BY_PEER, _ENDED = 0, 1, 2


class _Decoded:
    """Stands in for the decoder of ``h2``: hands over the list that was decoded and judged before."""

    def __init__(self) -> None:
        self.headers: Any = []

    def decode(self, data: bytes, raw: bool = False) -> Any:
        return self.headers


class PureSession:
    """A :class:`balancer.wire.http2.interface.Session`."""

    library = "h2"

    def __init__(self, told: Told, limits: Limits, *, server: bool) -> None:
        self._told = told
        self._limits = limits
        self._server = server
        self._watch = Watch(limits, server)
        self._rest = b""
        self._preface = server
        self._streams: dict[int, Stream] = {}
        self._over: dict[int, int] = {}  # streams that are over, and how; the last ones only
        self._blocked: dict[int, Stream] = {}  # streams with something queued, the one to be served next first
        self._next = 1
        self._highest = 0  # of the peer's streams
        self._last = _HIGHEST  # streams above are not taken any more
        self._failed = self._leaving = self._left_by_peer = False
        self._block: tuple[int, bool, list[bytes]] | None = None  # a header list that is not complete
        self._out: list[bytes] = []
        self._now = 0.0
        self._sent_settings: float | None = 0.0  # when, until they are acknowledged
        self._room = limits.connection_window
        self._owed = 0
        self.settled = False
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
        self._decoded = self._h2.decoder = _Decoded()
        self._decoder = Decoder()
        self._decoder.max_header_list_size = TOLERATED * limits.head_size
        self._begin()

    def _begin(self) -> None:
        limits = self._limits
        settings = [(4, limits.stream_window), (6, limits.head_size)]
        if self._server:
            settings.append((3, limits.streams))
            if limits.connect_protocol:
                settings.append((8, 1))
        else:
            settings.append((2, 0))
            self._out.append(PREFACE)
        payload = b"".join([_PAIR.pack(*each) for each in settings])
        self._out.append(len(payload).to_bytes(3, "big") + b"\x04\0\0\0\0\0" + payload)
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
        if good != len(data):
            self._fail(ENHANCE_YOUR_CALM, self._watch.words)

    def output(self) -> bytes:
        if self._blocked:
            self._flush()
        if not self._out:
            return b""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def request(self, headers: RawHeaders, *, ended: bool) -> int:
        number = self._next
        if number > _HIGHEST or self._left_by_peer:
            raise RuntimeError("no new streams are to be had on this connection")
        self._next += 2
        stream = self._streams[number] = Stream(number, max(self._limits.stream_window, 65535))
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

    def respond(self, stream: int, headers: RawHeaders, *, ended: bool = False) -> None:
        known = self._streams.get(stream)
        if known is not None and known.sending:
            self._send_headers(known, headers, ended)

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
            self._forget(known, _BY_US)

    def ping(self, data: bytes) -> None:
        self._out.append(b"\0\0\x08\x06\0\0\0\0\0" + data)

    def goaway(self, code: int = NO_ERROR, *, gracefully: bool = False) -> None:
        if self._failed or (gracefully and self._leaving):
            return
        self._leaving = True
        self._last = _HIGHEST if gracefully else min(self._last, self._highest)
        self._say_goaway(self._last, code, b"")

    def stalled(self, seconds: float) -> list[int]:
        return [
            number for number, stream in self._streams.items() if stream.queued and self._now - stream.moved >= seconds
        ]

    @property
    def open_streams(self) -> int:
        return len(self._streams)

    # What is sent.

    def _pull(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self._out.append(data)

    def _send_headers(self, stream: Stream, headers: RawHeaders, ended: bool) -> None:
        listed = [
            NeverIndexedHeaderTuple(name, value)
            if name == b"authorization" or (name == b"cookie" and len(value) < 20)
            else (name, value)
            for name, value in headers
        ]
        self._h2.send_headers(stream.number, listed, end_stream=ended)
        self._pull()
        if ended:
            stream.ending = True
            self._sent_all(stream)

    def _flush(self) -> None:
        """Send what the peer's windows allow, a frame of each stream in turn."""
        blocked = self._blocked
        h2 = self._h2
        lowered = []
        waiting = []
        while blocked:
            number, stream = next(iter(blocked.items()))
            del blocked[number]
            if stream.queued:
                room = min(h2.local_flow_control_window(number), h2.max_outbound_frame_size, _LARGEST)
                if room <= 0:
                    waiting.append(stream)
                    continue
                piece = stream.take(room, self._now)
                last = stream.ending and not stream.queued and stream.trailers is None
                h2.send_data(number, piece, end_stream=last)
                if stream.high and stream.queued < LOW_WATER:
                    stream.high = False
                    lowered.append(number)
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
        for number in lowered:
            if number in self._streams:
                self._told.room_came(number)

    def _sent_all(self, stream: Stream) -> None:
        stream.sending = False
        if not stream.receiving:
            self._forget(stream, _ENDED)

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

    def _say_goaway(self, last: int, code: int, words: bytes) -> None:
        payload = last.to_bytes(4, "big") + code.to_bytes(4, "big") + words
        self._out.append(len(payload).to_bytes(3, "big") + b"\x07\0\0\0\0\0" + payload)

    def _say_reset(self, stream: int, code: int) -> None:
        self._out.append(b"\0\0\4\x03\0" + stream.to_bytes(4, "big") + code.to_bytes(4, "big"))

    def _fail(self, code: int, words: str) -> None:
        self._failed = True
        self._pull()
        self._say_goaway(self._highest, code, words.encode("latin-1", "replace")[:128])
        raise SessionError(code, words)

    def _fail_stream(self, number: int, code: int, words: str) -> None:
        """Reset a stream because of what the peer did (a stream error)."""
        stream = self._streams.get(number)
        if stream is None:
            self._say_reset(number, code)
            self._remember(number, _BY_US)
        else:
            self._h2.reset_stream(number, code)
            self._pull()
            self._forget(stream, _BY_US)
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

    def _read(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        at = 0
        if self._preface:
            if data[:24] != PREFACE[: len(data)]:
                self._fail(PROTOCOL_ERROR, "not the preface of HTTP/2")
            if len(data) < 24:
                self._rest = data
                return
            self._preface = False
            at = 24
        end = len(data)
        while end - at >= 9:
            high, low, kind, flags, number = _HEAD.unpack_from(data, at)
            length = high << 8 | low
            if length > _LARGEST:
                self._fail(FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            if at + 9 + length > end:
                break
            at += 9 + length
            self._frame(kind, flags, number & _HIGHEST, data[at - length : at])
        self._rest = data[at:]

    def _frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if not self.settled and (kind != SETTINGS or flags & ACK):
            self._fail(PROTOCOL_ERROR, "the first frame is not SETTINGS")
        if self._block is not None:
            if kind != CONTINUATION or number != self._block[0]:
                self._fail(PROTOCOL_ERROR, "a frame inside a header list")
            self._block[2].append(payload)
            if flags & END_HEADERS:
                number, ended, pieces = self._block
                self._block = None
                self._head(number, ended, b"".join(pieces))
        elif kind == HEADERS or kind == DATA:
            if not number:
                self._fail(PROTOCOL_ERROR, "HEADERS or DATA on no stream")
            size = len(payload)
            if flags & PADDED:
                if not payload or payload[0] >= size:
                    self._fail(PROTOCOL_ERROR if payload else FRAME_SIZE_ERROR, "more padding than payload")
                payload = payload[1 : size - payload[0]]
            if kind == DATA:
                self._data(number, payload, size, bool(flags & END_STREAM))
            else:
                self._headers(number, flags, payload)
        elif kind == WINDOW_UPDATE:
            self._window_update(number, payload)
        elif kind == RST_STREAM:
            self._reset(number, payload)
        elif kind == SETTINGS:
            self._settings(number, flags, payload)
        elif kind == PING:
            if number or len(payload) != 8:
                self._fail(PROTOCOL_ERROR if number else FRAME_SIZE_ERROR, "PING")
            if flags & ACK:
                self._told.ping_answered(payload)
            else:
                self._out.append(b"\0\0\x08\x06\x01\0\0\0\0" + payload)
        elif kind == GOAWAY:
            self._goaway(number, payload)
        elif kind == PRIORITY:
            self._priority(number, payload)
        elif kind == PUSH_PROMISE or kind == CONTINUATION:
            self._fail(PROTOCOL_ERROR, "PUSH_PROMISE" if kind == PUSH_PROMISE else "CONTINUATION of no header list")

    def _headers(self, number: int, flags: int, payload: bytes) -> None:
        depends = -1
        if flags & _PRIORITY_FLAG:
            if len(payload) < 5:
                self._fail(FRAME_SIZE_ERROR, "HEADERS too short for a priority")
            depends = int.from_bytes(payload[:4], "big") & _HIGHEST
            payload = payload[5:]
        if depends == number:
            self._fail(PROTOCOL_ERROR, "a stream that depends on itself")
        if flags & END_HEADERS:
            self._head(number, bool(flags & END_STREAM), payload)
        else:
            self._block = (number, bool(flags & END_STREAM), [payload])

    def _head(self, number: int, ended: bool, block: bytes) -> None:
        """Read a complete header list."""
        stream = self._streams.get(number)
        new = stream is None and self._server and number > self._highest
        if stream is None and not new:
            over = self._over.get(number)
            if over is None or over == _ENDED:
                self._fail(STREAM_CLOSED if over == _ENDED else PROTOCOL_ERROR, "HEADERS on a stream that is over")
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
            if number <= self._last:
                self._new(number, headers, ended)
        elif stream is None:
            if self._over[number] == _BY_PEER:
                self._fail_stream(number, STREAM_CLOSED, "HEADERS on a stream that was reset")
        elif not stream.receiving:
            self._fail_stream(number, STREAM_CLOSED, "HEADERS on a stream that was ended")
        elif self._server or stream.answered:
            self._trailers(stream, headers, ended)
        else:
            self._response(stream, headers, ended)

    def _new(self, number: int, headers: RawHeaders, ended: bool) -> None:
        if len(self._streams) >= self._limits.streams:
            self._say_reset(number, REFUSED_STREAM)
            self._remember(number, _BY_US)
            known = self._sent_settings is None
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
        stream = self._streams[number] = Stream(number, max(self._limits.stream_window, 65535))
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
            self._forget(stream, _ENDED)

    def _show(self, number: int, headers: RawHeaders, ended: bool) -> None:
        """Let ``h2`` know of a header list; it would judge lengths in its own way, so it does not see them."""
        self._decoded.headers = [pair for pair in headers if pair[0] != b"content-length"]
        self._pass_on(HEADERS, END_HEADERS | (END_STREAM if ended else 0), number, b"")

    def _pass_on(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        size = len(payload)
        try:
            self._h2.receive_data(_HEAD.pack(size >> 8, size & 255, kind, flags, number) + payload)
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
            if stream is not None or over == _BY_PEER:
                self._fail_stream(number, STREAM_CLOSED, "DATA on a stream that was ended")
            elif over != _BY_US:
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
        self._pass_on(DATA, END_STREAM if ended else 0, number, b"")
        if size != len(data):
            self.took(number, size - len(data))
        if ended:
            self._received_all(stream)
        if data:
            self._told.data_came(number, data)
        if ended:
            self._told.stream_ended(number, None)

    def _settings(self, number: int, flags: int, payload: bytes) -> None:
        if number or (flags & ACK and payload) or len(payload) % 6:
            self._fail(PROTOCOL_ERROR if number else FRAME_SIZE_ERROR, "SETTINGS")
        if flags & ACK:
            self._sent_settings = None
            return
        kept = b""
        for which, value in _PAIR.iter_unpack(payload):
            if which == 1:
                value = min(value, _TABLE)
            elif which == 2:
                if value > (1 if self._server else 0):
                    self._fail(PROTOCOL_ERROR, "ENABLE_PUSH")
                continue
            elif which == 3:
                self.streams_allowed = value
                value = _HIGHEST
            elif which == 8:
                if value > 1 or (self.connect_allowed and not value):
                    self._fail(PROTOCOL_ERROR, "ENABLE_CONNECT_PROTOCOL")
                self.connect_allowed = bool(value)
                continue
            elif which not in (4, 5):
                continue
            kept += _PAIR.pack(which, value)
        self.settled = True
        self._pass_on(SETTINGS, 0, 0, kept)
        self._flush()
        self._told.settings_came()

    def _window_update(self, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            self._fail(FRAME_SIZE_ERROR, "WINDOW_UPDATE")
        increment = int.from_bytes(payload, "big") & _HIGHEST
        if not self._watch.crumb(increment):
            self._fail(ENHANCE_YOUR_CALM, self._watch.words)
        if number and number not in self._streams:
            self._not_begun(number, "WINDOW_UPDATE")
            return
        if not increment:
            if not number:
                self._fail(PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
            self._fail_stream(number, PROTOCOL_ERROR, "WINDOW_UPDATE by nothing")
            return
        if number and self._h2.streams[number].outbound_flow_control_window + increment > _HIGHEST:
            self._fail_stream(number, FLOW_CONTROL_ERROR, "a window too large")
            return
        self._pass_on(WINDOW_UPDATE, 0, number, increment.to_bytes(4, "big"))
        if self._blocked:
            self._flush()

    def _reset(self, number: int, payload: bytes) -> None:
        if not number or len(payload) != 4:
            self._fail(FRAME_SIZE_ERROR if number else PROTOCOL_ERROR, "RST_STREAM")
        stream = self._streams.get(number)
        if stream is None:
            self._not_begun(number, "RST_STREAM")
            return
        self._pass_on(RST_STREAM, 0, number, payload)
        self._forget(stream, _BY_PEER)
        self._told.stream_reset(number, int.from_bytes(payload, "big"))

    def _not_begun(self, number: int, what: str) -> None:
        """Fail if there was no such stream yet."""
        if number > self._highest if self._server else (number >= self._next or not number & 1):
            self._fail(PROTOCOL_ERROR, f"{what} on a stream that was not begun")

    def _priority(self, number: int, payload: bytes) -> None:
        if not number:
            self._fail(PROTOCOL_ERROR, "PRIORITY on no stream")
        if len(payload) != 5:
            self._fail(FRAME_SIZE_ERROR, "PRIORITY")
        if int.from_bytes(payload[:4], "big") & _HIGHEST == number:
            self._fail(PROTOCOL_ERROR, "a stream that depends on itself")

    def _goaway(self, number: int, payload: bytes) -> None:
        if number or len(payload) < 8:
            self._fail(PROTOCOL_ERROR if number else FRAME_SIZE_ERROR, "GOAWAY")
        last = int.from_bytes(payload[:4], "big") & _HIGHEST
        code = int.from_bytes(payload[4:8], "big")
        self._left_by_peer = True
        self._told.goaway_came(last, code)
        if not self._server:
            for above in [each for each in self._streams if each > last]:
                stream = self._streams.get(above)
                if stream is not None:
                    self._forget(stream, _BY_PEER)
                    self._told.stream_reset(above, REFUSED_STREAM)
