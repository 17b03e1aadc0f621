"""What libnghttp2 calls, and what a session notes of it.

The library calls back only while it is called itself, and one session at a time: that is :data:`now`. The functions are made once and
shared. They note what came; the owner is told when the library has returned (:meth:`Called._tell`), so that it may use the session
as it likes.
"""

from __future__ import annotations

from typing import Any

from balancer.model.headers import RawHeaders
from balancer.wire.http2 import messages
from balancer.wire.http2.frames import DATA, GOAWAY, HEADERS, HIGHEST, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE
from balancer.wire.http2.interface import (
    ENHANCE_YOUR_CALM,
    LOW_WATER,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    TOLERATED,
    Limits,
    Told,
)
from balancer.wire.http2.library import Library
from balancer.wire.http2.streams import Stream
from balancer.wire.http2.watch import Watch

__all__ = ["CALLBACK_FAILURE", "Called", "prepare"]

CALLBACK_FAILURE = -902
_EOF, _NO_END_STREAM = 1, 2
_DEFERRED, _TEMPORAL_CALLBACK_FAILURE = -508, -521

now: Any = None
"""The session that the library works for: it calls back only while it is called."""
lib: Any = None
functions: Any = None
unpack: Any = None
memmove: Any = None
written: Any = None
pointer: Any = None
callbacks = 0
provider: Any = None
null: Any = None
_kept: list[Any] = []


def prepare(found: Library) -> None:
    """Make the callbacks, which all sessions share. To be called once."""
    global lib, functions, unpack, memmove, written, pointer, callbacks, provider, null
    if lib is not None:
        return
    ffi = found.ffi
    functions, unpack, memmove, null = found.functions, found.bytes_at, found.put_bytes, ffi.NULL
    pointer, written = found.pointer, found.written
    functions.nghttp2_session_callbacks_new(pointer)
    callbacks = int(pointer[0])
    for kind, function, name in (
        ("on_header", _on_header, "on_header"),
        ("on_header", _on_invalid_header, "on_invalid_header"),
        ("on_frame", _on_frame, "on_frame_recv"),
        ("on_invalid_frame", _on_invalid_frame, "on_invalid_frame_recv"),
        ("on_data", _on_data, "on_data_chunk_recv"),
    ):
        callback = ffi.callback(kind, function, error=CALLBACK_FAILURE, onerror=_raised)
        _kept.append(callback)
        getattr(functions, f"nghttp2_session_callbacks_set_{name}_callback")(callbacks, callback)
    provider = ffi.new("Provider *")
    reads = ffi.callback("on_read", _on_read, error=CALLBACK_FAILURE, onerror=_raised)
    _kept.append(reads)
    provider.read = reads
    lib = found


# What the library calls.


def _on_header(
    _session: int, _frame: int, name: Any, name_size: int, value: Any, value_size: int, _flags: int, _data: int
) -> int:
    session = now
    session._room -= name_size + value_size + 32
    if session._room < 0:
        session._dead = (ENHANCE_YOUR_CALM, "a header list that is too large")
        return CALLBACK_FAILURE
    session._pairs.append((unpack(name, name_size), unpack(value, value_size)))
    return 0


def _on_invalid_header(*_arguments: int) -> int:
    return _TEMPORAL_CALLBACK_FAILURE


def _on_frame(_session: int, frame: Any, _data: int) -> int:
    kind = frame.type
    session = now
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
    now._drop_head()
    return 0


def _on_data(_session: int, _flags: int, stream: int, at: Any, size: int, _data: int) -> int:
    session = now
    known = session._streams.get(stream)
    if known is None or not (session._server or known.answered):
        session.took(stream, size)
        if known is not None:
            functions.nghttp2_submit_rst_stream(session._session, 0, stream, PROTOCOL_ERROR)
        return 0
    session._events.append((session._told.data_came, stream, unpack(at, size)))
    return 0


def _on_read(_session: int, number: int, at: Any, most: int, flags: Any, _source: int, _data: int) -> int:
    session = now
    stream = session._streams.get(number)
    if stream is None:
        return _DEFERRED
    size = 0
    if stream.queued:
        piece = stream.take(most, session._time)
        size = len(piece)
        memmove(at, piece, size)
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
            kept = lib.put_fields(stream.trailers)
            functions.nghttp2_submit_trailer(session._session, number, lib.fields_at, len(stream.trailers))
            del kept
        stream.sending = False
        if not stream.receiving:
            del session._streams[number]
    elif not size:
        stream.deferred = True
        return _DEFERRED
    return size


def _raised(_kind: Any, error: BaseException, _trace: Any) -> None:
    now._error = error


class Called:
    """The side of a session that the library tells of what arrives."""

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
        "_plain",
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
        self._plain: RawHeaders = []  # of the last request, where it needed no mending
        self._room = TOLERATED * limits.head_size
        self._out: list[bytes] = []
        self._highest = 0
        self._last = HIGHEST
        self._time = 0.0
        self._sent_settings: float | None = 0.0
        self._failed = self._leaving = self._left_by_peer = False
        self._dead: tuple[int, str] | None = None
        self._error: BaseException | None = None
        self._skipped: set[int] | None = None  # while the owner is told: streams that it resets
        self.settled = False
        self.streams_allowed = 100
        self.connect_allowed = False
        self._session = 0

    def took(self, stream: int, size: int) -> None:
        functions.nghttp2_session_consume_connection(self._session, size)
        functions.nghttp2_session_consume_stream(self._session, stream, size)

    def took_of_connection(self, size: int) -> None:
        functions.nghttp2_session_consume_connection(self._session, size)

    def took_of_stream(self, stream: int, size: int) -> None:
        functions.nghttp2_session_consume_stream(self._session, stream, size)

    # What arrives, as the library tells it.

    def _tell(self) -> None:
        """Tell the owner what came; nothing of streams that it resets meanwhile."""
        events, self._events = self._events, []
        data_came = self._told.data_came
        outer = self._skipped
        self._skipped = skipped = set[int]() if outer is None else outer
        for call, *arguments in events:
            if skipped and arguments and arguments[0] in skipped:
                if call == data_came:
                    self.took(arguments[0], len(arguments[1]))
                continue
            call(*arguments)
        self._skipped = outer

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
            return CALLBACK_FAILURE
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
        if stream.connect:  # RFC 9113 section 8.5
            functions.nghttp2_submit_rst_stream(self._session, 0, number, PROTOCOL_ERROR)
            return 0
        self._received_all(stream)
        self._events.append((self._told.stream_ended, number, pairs))
        return 0

    def _new(self, number: int, pairs: RawHeaders, ended: int) -> int:
        """Take a request."""
        self._highest = number
        if len(self._streams) >= self._limits.streams or number > self._last:
            self._resetting.add(number)
            functions.nghttp2_submit_rst_stream(self._session, 0, number, REFUSED_STREAM)
            known = number <= self._last and self._sent_settings is None
            if not (self._watch.provoked() if known else self._watch.refused()):
                self._dead = (ENHANCE_YOUR_CALM, self._watch.words)
                return CALLBACK_FAILURE
            return 0
        connect = False
        if pairs == self._plain:  # as the one before: what it comes to is known
            pairs = self._plain
        else:
            fields = dict(pairs)
            try:
                if b"host" in fields or fields.get(b":authority") not in messages.authorities:
                    messages.authority(fields.get(b":authority"), fields.get(b"host"))
            except messages.MalformedError:
                functions.nghttp2_submit_rst_stream(self._session, 0, number, PROTOCOL_ERROR)
                return 0
            connect = fields[b":method"] == b"CONNECT"
            if len(fields) != len(pairs) and b"cookie" in fields:
                pairs = messages.joined(pairs)
            elif not connect:
                self._plain = pairs
        stream = self._streams[number] = Stream(number, 0)
        stream.connect = connect
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

    def _window(self, number: int) -> int:
        """Return how many bytes the peer takes on a stream, or with 0 on all of them; -1 for a stream that has ended."""
        if number:
            return int(functions.nghttp2_session_get_stream_remote_window_size(self._session, number))
        return int(functions.nghttp2_session_get_remote_window_size(self._session))

    def _other(self, kind: int, frame: Any) -> int:
        """Take a frame that is neither HEADERS nor DATA."""
        if kind == WINDOW_UPDATE:
            if frame.first < 256 and not self._watch.crumb(frame.first, lambda: self._window(frame.stream)):
                self._dead = (ENHANCE_YOUR_CALM, self._watch.words)
                return CALLBACK_FAILURE
        elif kind == RST_STREAM:
            if self._streams.pop(frame.stream, None) is not None:
                self._events.append((self._told.stream_reset, frame.stream, frame.first))
        elif kind == SETTINGS:
            if frame.flags & 1:
                self._sent_settings = None
                return 0
            self.settled = True
            asked = functions.nghttp2_session_get_remote_settings
            self.streams_allowed = asked(self._session, 3)
            self.connect_allowed = bool(asked(self._session, 8))
            self._events.append((self._told.settings_came,))
        elif kind == PING:
            if frame.flags & 1:
                data = frame.first.to_bytes(4, "little") + frame.second.to_bytes(4, "little")
                self._events.append((self._told.ping_answered, data))
        elif kind == GOAWAY:
            self._goaway_came(frame.first & HIGHEST, frame.second)
        return 0

    def _goaway_came(self, last: int, code: int) -> None:
        self._left_by_peer = True
        self._events.append((self._told.goaway_came, last, code))
        if not self._server:
            for number in [each for each in self._streams if each > last]:
                del self._streams[number]
                self._events.append((self._told.stream_reset, number, REFUSED_STREAM))
