"""A session on libnghttp2, with as few calls from it into Python as there can be.

What it reads becomes calls of :func:`_on_header` and its neighbours, which only note what came; :class:`Told` is called when the
library has returned. What it writes is asked for frame by frame: frames tell by their type what the library did of its own accord,
so that it need not call. Bodies wait in the streams' queues until the library reads them (:func:`_on_read`), as far as the windows
allow.

    bytes -> Watch (what comes too often) -> nghttp2_session_mem_recv -> events -> Told
    headers, queues -> nghttp2_submit_..., nghttp2_session_mem_send -> frames -> bytes

Measured for the server's half of a request of eight fields with an answer of 100 bytes, 100 at a time: see ``bench/inmemory_h2.py``.
"""

from __future__ import annotations

from typing import Any

from balancer.model.headers import RawHeaders
from balancer.wire.http2 import messages
from balancer.wire.http2.interface import (
    ENHANCE_YOUR_CALM,
    INTERNAL_ERROR,
    LOW_WATER,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    SETTINGS_TIMEOUT,
    TOLERATED,
    Limits,
    SessionError,
    Told,
)
from balancer.wire.http2.library import Library
from balancer.wire.http2.streams import Stream
from balancer.wire.http2.watch import DATA, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, Watch

__all__ = ["NativeSession", "prepare"]

_HIGHEST = 0x7FFFFFFF
_SLACK = 100
"""Streams above the limit that are refused one by one; beyond, the library ends the connection."""
_EOF, _NO_END_STREAM = 1, 2
_DEFERRED, _TEMPORAL_CALLBACK_FAILURE = -508, -521
_CALLBACK_FAILURE, _BAD_CLIENT_MAGIC, _FLOODED, _TOO_MANY_CONTINUATIONS = -902, -903, -904, -905

_now: Any = None
"""The session that the library works for: it calls back only while it is called."""
_lib: Any = None
_functions: Any = None
_unpack: Any = None
_memmove: Any = None
_written: Any = None
_pointer: Any = None
_callbacks = 0
_provider: Any = None
_null: Any = None
_kept: list[Any] = []


def prepare(found: Library) -> None:
    """Make the callbacks, which all sessions share. To be called once."""
    global _lib, _functions, _unpack, _memmove, _written, _pointer, _callbacks, _provider, _null
    if _lib is not None:
        return
    ffi = found.ffi
    _functions, _unpack, _memmove, _null = found.functions, found.bytes_at, found.put_bytes, ffi.NULL
    _pointer, _written = found.pointer, found.written
    _functions.nghttp2_session_callbacks_new(_pointer)
    _callbacks = int(_pointer[0])
    for kind, function, name in (
        ("on_header", _on_header, "on_header"),
        ("on_header", _on_invalid_header, "on_invalid_header"),
        ("on_frame", _on_frame, "on_frame_recv"),
        ("on_invalid_frame", _on_invalid_frame, "on_invalid_frame_recv"),
        ("on_data", _on_data, "on_data_chunk_recv"),
    ):
        callback = ffi.callback(kind, function, error=_CALLBACK_FAILURE, onerror=_raised)
        _kept.append(callback)
        getattr(_functions, f"nghttp2_session_callbacks_set_{name}_callback")(_callbacks, callback)
    _provider = ffi.new("Provider *")
    reads = ffi.callback("on_read", _on_read, error=_CALLBACK_FAILURE, onerror=_raised)
    _kept.append(reads)
    _provider.read = reads
    _lib = found


# What the library calls.


def _on_header(
    _session: int, _frame: int, name: Any, name_size: int, value: Any, value_size: int, _flags: int, _data: int
) -> int:
    session = _now
    session._room -= name_size + value_size + 32
    if session._room < 0:
        session._dead = (ENHANCE_YOUR_CALM, "a header list that is too large")
        return _CALLBACK_FAILURE
    session._pairs.append((_unpack(name, name_size), _unpack(value, value_size)))
    return 0


def _on_invalid_header(*_arguments: int) -> int:
    return _TEMPORAL_CALLBACK_FAILURE


def _on_frame(_session: int, frame: Any, _data: int) -> int:
    kind = frame.type
    session = _now
    if kind == HEADERS:
        result: int = session._head(frame.stream, frame.flags & 1)
    elif kind == DATA:
        result = 0
        if frame.flags & 1:
            session._data_ended(frame.stream)
    else:
        result = session._other(kind, frame)
    return result


def _on_invalid_frame(_session: int, _frame: Any, _code: int, _data: int) -> int:
    _now._drop_head()
    return 0


def _on_data(_session: int, _flags: int, stream: int, at: Any, size: int, _data: int) -> int:
    session = _now
    known = session._streams.get(stream)
    if known is None or not (session._server or known.answered):
        session.took(stream, size)
        if known is not None:
            _functions.nghttp2_submit_rst_stream(session._session, 0, stream, PROTOCOL_ERROR)
        return 0
    session._events.append((session._told.data_came, stream, _unpack(at, size)))
    return 0


def _on_read(_session: int, number: int, at: Any, most: int, flags: Any, _source: int, _data: int) -> int:
    session = _now
    stream = session._streams.get(number)
    if stream is None:
        return _DEFERRED
    size = 0
    if stream.queued:
        piece = stream.take(most, session._time)
        size = len(piece)
        _memmove(at, piece, size)
        if stream.queued:
            if stream.high and stream.queued < LOW_WATER:
                stream.high = False
                session._lowered.append(number)
            return size
        if stream.high:
            stream.high = False
            if not stream.ending:
                session._lowered.append(number)
    if stream.ending:
        flags[0] = _EOF
        if stream.trailers is not None:
            flags[0] = _EOF | _NO_END_STREAM
            kept = _lib.put_fields(stream.trailers)
            _functions.nghttp2_submit_trailer(session._session, number, _lib.fields_at, len(stream.trailers))
            del kept
        stream.sending = False
        if not stream.receiving:
            del session._streams[number]
    elif not size:
        stream.deferred = True
        return _DEFERRED
    return size


def _raised(_kind: Any, error: BaseException, _trace: Any) -> None:
    _now._error = error


class NativeSession:
    """A :class:`balancer.wire.http2.interface.Session`."""

    library = "nghttp2"

    __slots__ = (
        "_dead",
        "_error",
        "_events",
        "_failed",
        "_highest",
        "_last",
        "_leaving",
        "_left_by_peer",
        "_limits",
        "_lowered",
        "_out",
        "_pairs",
        "_resetting",
        "_room",
        "_sent_settings",
        "_server",
        "_session",
        "_skipped",
        "_streams",
        "_time",
        "_told",
        "_watch",
        "connect_allowed",
        "settled",
        "streams_allowed",
    )

    def __init__(self, told: Told, limits: Limits, *, server: bool) -> None:
        self._told = told
        self._limits = limits
        self._server = server
        self._watch = Watch(limits, server)
        self._streams: dict[int, Stream] = {}
        self._resetting: set[int] = set()  # streams that the owner resets, until the frame is written
        self._events: list[Any] = []  # calls of Told that are due
        self._lowered: list[int] = []  # streams whose queue has room again
        self._pairs: RawHeaders = []  # the header list that comes
        self._room = TOLERATED * limits.head_size
        self._out: list[bytes] = []
        self._highest = 0
        self._last = _HIGHEST
        self._time = 0.0
        self._sent_settings: float | None = 0.0
        self._failed = self._leaving = self._left_by_peer = False
        self._dead: tuple[int, str] | None = None
        self._error: BaseException | None = None
        self._skipped: set[int] | None = None  # while the owner is told: streams that it resets
        self.settled = False
        self.streams_allowed = 100
        self.connect_allowed = False
        new = _functions.nghttp2_session_server_new2 if server else _functions.nghttp2_session_client_new2
        self._session = 0
        if new(_pointer, _callbacks, 0, _lib.option(limits)):
            raise MemoryError("nghttp2_session_new")
        self._session = int(_pointer[0])
        self._begin()

    def _begin(self) -> None:
        limits = self._limits
        settings = [(4, limits.stream_window), (6, limits.head_size)]
        if self._server:
            settings.append((3, limits.streams + _SLACK))
            if limits.connect_protocol:
                settings.append((8, 1))
        else:
            settings.append((2, 0))
        _functions.nghttp2_submit_settings(self._session, 0, settings, len(settings))
        if limits.connection_window > 65535:
            _functions.nghttp2_session_set_local_window_size(self._session, 0, 0, limits.connection_window)
        self._pump()
        if self._server:  # what the library is told is above what the peer is told
            told = (limits.streams + _SLACK).to_bytes(4, "big")
            self._out[0] = self._out[0].replace(b"\0\3" + told, b"\0\3" + limits.streams.to_bytes(4, "big"))

    def __del__(self) -> None:
        if self._session:
            _functions.nghttp2_session_del(self._session)

    # What the owner says.

    def at(self, now: float) -> None:
        if self._sent_settings == 0.0:
            self._sent_settings = now
        self._time = now
        self._watch.at(now)

    def feed(self, data: bytes) -> None:
        global _now
        if self._failed:
            return
        if self._sent_settings and self._time - self._sent_settings > self._limits.settings_timeout:
            self._fail(SETTINGS_TIMEOUT, "SETTINGS were not acknowledged in time")
        size = len(data)
        good = self._watch.scan(data)
        _now = self
        read = _functions.nghttp2_session_mem_recv(self._session, data, good)
        self._pump()
        if self._events:
            self._tell()
        if self._lowered:
            self._say_room()
        if read != good or good != size or self._dead is not None:
            self._ended(read, good == size)

    def output(self) -> bytes:
        self._pump()
        if self._events:
            self._tell()
        if self._lowered:
            self._say_room()
        if not self._out:
            return b""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def request(self, headers: RawHeaders, *, ended: bool) -> int:
        if self._left_by_peer or self._failed:
            raise RuntimeError("no new streams are to be had on this connection")
        kept = _lib.put_fields(headers)
        number: int = _functions.nghttp2_submit_request(
            self._session, 0, _lib.fields_at, len(headers), _null if ended else _provider, 0
        )
        del kept
        if number < 0:
            raise RuntimeError("no new streams are to be had on this connection")
        stream = self._streams[number] = Stream(number, 0)
        if ended:
            stream.ending = True
            stream.sending = False
        return number

    def inform(self, stream: int, headers: RawHeaders) -> None:
        if stream in self._streams:
            kept = _lib.put_fields(headers)
            _functions.nghttp2_submit_headers(self._session, 0, stream, 0, _lib.fields_at, len(headers), 0)
            del kept

    def respond(self, stream: int, headers: RawHeaders, *, ended: bool = False) -> None:
        known = self._streams.get(stream)
        if known is None or not known.sending:
            return
        kept = _lib.put_fields(headers)
        _functions.nghttp2_submit_response(
            self._session, stream, _lib.fields_at, len(headers), _null if ended else _provider
        )
        del kept
        if ended:
            known.ending = True
            known.sending = False
            if not known.receiving:
                del self._streams[stream]

    def send(self, stream: int, data: bytes, *, ended: bool = False) -> None:
        known = self._streams.get(stream)
        if known is None or known.ending:
            return
        known.ending = ended
        if data:
            known.put(data, self._time)
        elif not ended:
            return
        if known.deferred:
            known.deferred = False
            _functions.nghttp2_session_resume_data(self._session, stream)
        if known.queued > LOW_WATER:
            self._pump()
            known.high = known.queued > LOW_WATER

    def end(self, stream: int, trailers: RawHeaders | None = None) -> None:
        known = self._streams.get(stream)
        if known is None or known.ending:
            return
        known.trailers = trailers or None
        self.send(stream, b"", ended=True)

    def queued(self, stream: int) -> int:
        known = self._streams.get(stream)
        if known is None:
            return 0
        if known.queued:
            self._pump()
        return known.queued

    def took(self, stream: int, size: int) -> None:
        _functions.nghttp2_session_consume_connection(self._session, size)
        _functions.nghttp2_session_consume_stream(self._session, stream, size)

    def reset(self, stream: int, code: int) -> None:
        if stream in self._streams:
            self._pump()  # what was said before goes before
            if self._streams.pop(stream, None) is not None:
                self._resetting.add(stream)
                if self._skipped is not None:
                    self._skipped.add(stream)
                _functions.nghttp2_submit_rst_stream(self._session, 0, stream, code)

    def ping(self, data: bytes) -> None:
        _functions.nghttp2_submit_ping(self._session, 0, data)

    def goaway(self, code: int = NO_ERROR, *, gracefully: bool = False) -> None:
        if self._failed or (gracefully and self._leaving):
            return
        self._leaving = True
        self._pump()
        self._last = _HIGHEST if gracefully else min(self._last, self._highest)
        self._say_goaway(self._last, code, b"")

    def stalled(self, seconds: float) -> list[int]:
        now = self._time
        return [number for number, stream in self._streams.items() if stream.queued and now - stream.moved >= seconds]

    @property
    def open_streams(self) -> int:
        return len(self._streams)

    # What is written.

    def _pump(self) -> None:
        """Let the library write what it may, frame by frame."""
        global _now
        if self._failed or self._dead is not None:
            return
        _now = self
        session, out, write, pointer = self._session, self._out, _functions.nghttp2_session_mem_send, _written
        while True:
            size = write(session, pointer)
            if size <= 0:
                break
            frame = _unpack(pointer[0], size)
            out.append(frame)
            kind = frame[3]
            if kind == RST_STREAM:
                self._reset_said(int.from_bytes(frame[5:9], "big"), int.from_bytes(frame[9:13], "big"))
            elif kind == GOAWAY:
                self._dead = (int.from_bytes(frame[13:17], "big"), frame[17:].decode("latin-1") or "broke the protocol")
        if size < 0:
            self._dead = self._dead or (INTERNAL_ERROR, f"nghttp2 failed ({size})")

    def _reset_said(self, number: int, code: int) -> None:
        """Note a RST_STREAM of ours: where the owner did not ask for it, the peer did something to deserve it."""
        if number in self._resetting:
            self._resetting.discard(number)
            return
        if self._streams.pop(number, None) is not None:
            self._events.append((self._told.stream_reset, number, code))
        if not self._watch.provoked():
            self._dead = (ENHANCE_YOUR_CALM, self._watch.words)

    def _say_goaway(self, last: int, code: int, words: bytes) -> None:
        payload = last.to_bytes(4, "big") + code.to_bytes(4, "big") + words
        self._out.append(len(payload).to_bytes(3, "big") + b"\x07\0\0\0\0\0" + payload)

    def _say_room(self) -> None:
        while self._lowered:
            lowered, self._lowered = self._lowered, []
            for number in lowered:
                if number in self._streams:
                    self._told.room_came(number)
            self._pump()

    def _fail(self, code: int, words: str) -> None:
        self._pump()
        self._failed = True
        self._say_goaway(self._highest, code, words.encode("latin-1", "replace")[:128])
        raise SessionError(code, words)

    def _ended(self, read: int, all_well: bool) -> None:
        """Say how the connection ended after the last piece."""
        error, self._error = self._error, None
        if error is not None:
            raise error
        if self._dead is not None:
            code, words = self._dead
            said = bool(self._out) and self._out[-1][3] == GOAWAY
            self._failed = True
            if not said:
                self._say_goaway(self._highest, code, words.encode("latin-1", "replace")[:128])
            raise SessionError(code, words)
        if not all_well:
            self._fail(ENHANCE_YOUR_CALM, self._watch.words)
        if read == _BAD_CLIENT_MAGIC:
            self._fail(PROTOCOL_ERROR, "not the preface of HTTP/2")
        if read in (_FLOODED, _TOO_MANY_CONTINUATIONS):
            self._fail(ENHANCE_YOUR_CALM, "a flood")
        self._fail(INTERNAL_ERROR, f"nghttp2 failed ({read})")

    # What arrives, as the library tells it.

    def _tell(self) -> None:
        """Tell the owner what came; nothing of streams that it resets meanwhile."""
        events, self._events = self._events, []
        data_came = self._told.data_came
        self._skipped = skipped = set()
        for call, *arguments in events:
            if skipped and arguments and arguments[0] in skipped:
                if call == data_came:
                    self.took(arguments[0], len(arguments[1]))
                continue
            call(*arguments)
        self._skipped = None

    def _drop_head(self) -> None:
        self._pairs = []
        self._room = TOLERATED * self._limits.head_size

    def _head(self, number: int, ended: int) -> int:
        """Take a header list that is complete."""
        pairs = self._pairs
        self._pairs = []
        self._room = TOLERATED * self._limits.head_size
        if len(pairs) > TOLERATED * self._limits.header_count:
            self._dead = (ENHANCE_YOUR_CALM, "a header list of too many fields")
            return _CALLBACK_FAILURE
        stream = self._streams.get(number)
        if self._server:
            if stream is None:
                return self._new(number, pairs, ended)
        elif stream is None:
            return 0
        elif not stream.answered:
            if pairs[0][1][:1] == b"1":
                self._events.append((self._told.informational_came, number, pairs))
                return 0
            stream.answered = True
            if ended:
                self._received_all(stream)
            self._events.append((self._told.response_came, number, pairs, bool(ended)))
            return 0
        self._received_all(stream)
        self._events.append((self._told.stream_ended, number, pairs))
        return 0

    def _new(self, number: int, pairs: RawHeaders, ended: int) -> int:
        """Take a request."""
        self._highest = number
        if len(self._streams) >= self._limits.streams or number > self._last:
            self._resetting.add(number)
            _functions.nghttp2_submit_rst_stream(self._session, 0, number, REFUSED_STREAM)
            known = self._sent_settings is None
            if number <= self._last and not (self._watch.provoked() if known else self._watch.refused()):
                self._dead = (ENHANCE_YOUR_CALM, self._watch.words)
                return _CALLBACK_FAILURE
            return 0
        fields = dict(pairs)
        try:
            if b"host" in fields or fields.get(b":authority") not in messages.authorities:
                messages.authority(fields.get(b":authority"), fields.get(b"host"))
        except messages.MalformedError:
            _functions.nghttp2_submit_rst_stream(self._session, 0, number, PROTOCOL_ERROR)
            return 0
        if len(fields) != len(pairs) and b"cookie" in fields:
            pairs = messages.joined(pairs)
        stream = self._streams[number] = Stream(number, 0)
        if ended:
            stream.receiving = False
        self._events.append((self._told.request_came, number, pairs, bool(ended)))
        return 0

    def _received_all(self, stream: Stream) -> None:
        stream.receiving = False
        if not stream.sending:
            del self._streams[stream.number]

    def _data_ended(self, number: int) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            self._received_all(stream)
            self._events.append((self._told.stream_ended, number, None))

    def _other(self, kind: int, frame: Any) -> int:
        """Take a frame that is neither HEADERS nor DATA."""
        if kind == WINDOW_UPDATE:
            if not self._watch.crumb(frame.first):
                self._dead = (ENHANCE_YOUR_CALM, self._watch.words)
                return _CALLBACK_FAILURE
        elif kind == RST_STREAM:
            if self._streams.pop(frame.stream, None) is not None:
                self._events.append((self._told.stream_reset, frame.stream, frame.first))
        elif kind == SETTINGS:
            if frame.flags & 1:
                self._sent_settings = None
                return 0
            self.settled = True
            asked = _functions.nghttp2_session_get_remote_settings
            self.streams_allowed = asked(self._session, 3)
            self.connect_allowed = bool(asked(self._session, 8))
            self._events.append((self._told.settings_came,))
        elif kind == PING:
            if frame.flags & 1:
                data = frame.first.to_bytes(4, "little") + frame.second.to_bytes(4, "little")
                self._events.append((self._told.ping_answered, data))
        elif kind == GOAWAY:
            self._goaway_came(frame.first & _HIGHEST, frame.second)
        return 0

    def _goaway_came(self, last: int, code: int) -> None:
        self._left_by_peer = True
        self._events.append((self._told.goaway_came, last, code))
        if not self._server:
            for number in [each for each in self._streams if each > last]:
                del self._streams[number]
                self._events.append((self._told.stream_reset, number, REFUSED_STREAM))
