"""A session on libnghttp2, with as few calls from it into Python as there can be.

What it reads becomes calls of :mod:`.callbacks`, which only note what came; :class:`Told` is called when the library has returned. What it writes is asked for frame by frame: frames tell by their type what the library did of its own accord,
so that it need not call. Bodies wait in the streams' queues until the library reads them, as far as the windows
allow.

    bytes -> Watch (what comes too often) -> nghttp2_session_mem_recv -> events -> Told
    headers, queues -> nghttp2_submit_..., nghttp2_session_mem_send -> frames -> bytes

Measured for the server's half of a request of eight fields with an answer of 100 bytes, 100 at a time: see ``bench/inmemory_h2.py``.
"""

from __future__ import annotations

from balancer.model.headers import RawHeaders
from balancer.wire.http2 import callbacks
from balancer.wire.http2.callbacks import Called, prepare
from balancer.wire.http2.frames import (
    ENABLE_CONNECT_PROTOCOL,
    ENABLE_PUSH,
    GOAWAY,
    HEADERS,
    HIGHEST,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_HEADER_LIST_SIZE,
    RST_STREAM,
    SETTING,
    goaway,
)
from balancer.wire.http2.interface import (
    ENHANCE_YOUR_CALM,
    INTERNAL_ERROR,
    LOW_WATER,
    NO_ERROR,
    PROTOCOL_ERROR,
    SETTINGS_TIMEOUT,
    Limits,
    Repeated,
    SessionError,
    Told,
)
from balancer.wire.http2.streams import Stream

__all__ = ["NativeSession", "prepare"]

_SLACK = 100
"""Streams above the limit that are refused one by one; beyond, the library ends the connection."""
_BAD_CLIENT_MAGIC, _FLOODED, _TOO_MANY_CONTINUATIONS = -903, -904, -905


class NativeSession(Called):
    """A :class:`balancer.wire.http2.interface.Session`."""

    library = "nghttp2"

    __slots__ = ("_delete",)

    def __init__(self, told: Told, limits: Limits, *, server: bool) -> None:
        super().__init__(told, limits, server=server)
        new = (
            callbacks.functions.nghttp2_session_server_new2
            if server
            else callbacks.functions.nghttp2_session_client_new2
        )
        if new(callbacks.pointer, callbacks.callbacks, 0, callbacks.lib.option(limits)):
            raise MemoryError("nghttp2_session_new")
        self._session = int(callbacks.pointer[0])
        self._delete = (
            callbacks.functions.nghttp2_session_del
        )  # known before the process ends, when it can no longer be found
        self._begin()

    def _begin(self) -> None:
        limits = self._limits
        settings = [(INITIAL_WINDOW_SIZE, limits.stream_window), (MAX_HEADER_LIST_SIZE, limits.head_size)]
        if self._server:
            settings.append((MAX_CONCURRENT_STREAMS, limits.streams + _SLACK))
            if limits.connect_protocol:
                settings.append((ENABLE_CONNECT_PROTOCOL, 1))
        else:
            settings.append((ENABLE_PUSH, 0))
        callbacks.functions.nghttp2_submit_settings(self._session, 0, settings, len(settings))
        if limits.connection_window > 65535:
            callbacks.functions.nghttp2_session_set_local_window_size(self._session, 0, 0, limits.connection_window)
        self._pump()
        if self._server:  # what the library is told is above what the peer is told
            counted = SETTING.pack(MAX_CONCURRENT_STREAMS, limits.streams + _SLACK)
            self._out[0] = self._out[0].replace(counted, SETTING.pack(MAX_CONCURRENT_STREAMS, limits.streams))

    def __del__(self) -> None:
        if self._session:
            self._delete(self._session)

    # What the owner says.

    def at(self, now: float) -> None:
        if self._sent_settings == 0.0:
            self._sent_settings = now
        self._time = now
        self._watch.at(now)

    def feed(self, data: bytes) -> None:
        if self._failed:
            return
        if self._sent_settings and self._time - self._sent_settings > self._limits.settings_timeout:
            self._fail(SETTINGS_TIMEOUT, "SETTINGS were not acknowledged in time")
        size = len(data)
        good = self._watch.scan(data)
        callbacks.now = self
        read = callbacks.functions.nghttp2_session_mem_recv(self._session, data, good)
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
        kept = callbacks.lib.put_fields(headers)
        number: int = callbacks.functions.nghttp2_submit_request(
            self._session, 0, callbacks.lib.fields_at, len(headers), callbacks.null if ended else callbacks.provider, 0
        )
        del kept
        if number < 0:
            raise RuntimeError("no new streams are to be had on this connection")
        stream = self._streams[number] = Stream(number, 0)
        stream.connect = (b":method", b"CONNECT") in headers
        if ended:
            stream.ending = True
            stream.sending = False
        return number

    def inform(self, stream: int, headers: RawHeaders) -> None:
        if stream in self._streams:
            kept = callbacks.lib.put_fields(headers)
            callbacks.functions.nghttp2_submit_headers(
                self._session, 0, stream, 0, callbacks.lib.fields_at, len(headers), 0
            )
            del kept

    def respond(
        self, stream: int, headers: RawHeaders, *, ended: bool = False, last: tuple[bytes, bytes] | None = None
    ) -> None:
        known = self._streams.get(stream)
        if known is None or not known.sending:
            return
        lib = callbacks.lib
        count = len(headers)
        if last is None:
            kept = lib.put_fields(headers)
        else:
            kept = lib.put_again(headers, last) if headers.__class__ is Repeated else lib.put_with(headers, last)
            count += 1
        provider = callbacks.null if ended else callbacks.provider
        callbacks.functions.nghttp2_submit_response(self._session, stream, lib.fields_at, count, provider)
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
            callbacks.functions.nghttp2_session_resume_data(self._session, stream)
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
        if known.queued > LOW_WATER:  # less is not worth asking the library for: it goes with the next output
            self._pump()
        return known.queued

    def reset(self, stream: int, code: int) -> None:
        if stream in self._streams:
            self._pump()  # what was said before goes before
            if self._streams.pop(stream, None) is not None:
                self._resetting.add(stream)
                if self._skipped is not None:
                    self._skipped.add(stream)
                callbacks.functions.nghttp2_submit_rst_stream(self._session, 0, stream, code)

    def ping(self, data: bytes) -> None:
        callbacks.functions.nghttp2_submit_ping(self._session, 0, data)

    def goaway(self, code: int = NO_ERROR, *, gracefully: bool = False) -> None:
        if self._failed or (gracefully and self._leaving):
            return
        self._leaving = True
        self._pump()
        self._last = HIGHEST if gracefully else min(self._last, self._highest)
        self._out.append(goaway(self._last, code))

    def stalled(self, seconds: float) -> list[int]:
        now = self._time
        return [number for number, stream in self._streams.items() if stream.queued and now - stream.moved >= seconds]

    @property
    def backlog(self) -> int:
        return sum([stream.queued for stream in self._streams.values()])

    @property
    def pending(self) -> bool:
        return bool(self._out)

    @property
    def open_streams(self) -> int:
        return len(self._streams)

    # What is written.

    def _pump(self) -> None:
        """Let the library write what it may, frame by frame."""
        if self._failed or self._dead is not None:
            return
        callbacks.now = self
        session, out, write, pointer = (
            self._session,
            self._out,
            callbacks.functions.nghttp2_session_mem_send,
            callbacks.written,
        )
        said = 0
        while True:
            size = write(session, pointer)
            if size <= 0:
                break
            frame = callbacks.unpack(pointer[0], size)
            out.append(frame)
            kind = frame[3]
            if kind <= HEADERS:  # DATA, too
                said += 1
            elif kind == RST_STREAM:
                self._reset_said(int.from_bytes(frame[5:9], "big"), int.from_bytes(frame[9:13], "big"))
            elif kind == GOAWAY:
                self._dead = (int.from_bytes(frame[13:17], "big"), frame[17:].decode("latin-1") or "broke the protocol")
        self._watch.traffic += said
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
        self._out.append(goaway(self._highest, code, words))
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
                self._out.append(goaway(self._highest, code, words))
            raise SessionError(code, words)
        if read == _BAD_CLIENT_MAGIC:
            self._fail(PROTOCOL_ERROR, "not the preface of HTTP/2")
        if read in (_FLOODED, _TOO_MANY_CONTINUATIONS):
            self._fail(ENHANCE_YOUR_CALM, "a flood")
        if not all_well:
            self._fail(self._watch.code, self._watch.words)
        self._fail(INTERNAL_ERROR, f"nghttp2 failed ({read})")
