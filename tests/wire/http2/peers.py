"""Both libraries' sessions for tests, what they told, and a peer that speaks in frames written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hpack.hpack import Decoder, Encoder

from balancer.model.headers import RawHeaders
from balancer.wire.http2 import frames, native
from balancer.wire.http2.interface import Limits, Session, SessionError
from balancer.wire.http2.library import library
from balancer.wire.http2.pure import PureSession

LIBRARIES = ("nghttp2", "h2")
GET: RawHeaders = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"shop.example"), (b":path", b"/")]
POST: RawHeaders = [(b":method", b"POST"), *GET[1:]]
OK: RawHeaders = [(b":status", b"200"), (b"content-type", b"text/plain")]


def session(name: str, told: Any, limits: Limits | None = None, *, server: bool) -> Session:
    """Return a session on the library called ``name``, which must be here."""
    limits = limits or Limits()
    if name == "h2":
        return PureSession(told, limits, server=server)
    found = library()
    if found is None:
        raise AssertionError(
            "libnghttp2 (Debian: libnghttp2-14) is not installed; BALANCER_HTTP2=h2 does without, tests do not"
        )
    native.prepare(found)
    return native.NativeSession(told, limits, server=server)


class Heard:
    """Remembers what it was told, pieces of bodies joined."""

    def __init__(self, name: str = "", *, takes: bool = False) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.session: Any = None
        self.takes = takes
        self.answers: Any = None  # called with a stream's number when a request is complete

    def _note(self, *call: Any) -> None:
        self.calls.append(call)

    def request_came(self, stream: int, headers: RawHeaders, ended: bool) -> None:
        self._note("request", stream, headers, ended)
        if ended and self.answers:
            self.answers(stream)

    def response_came(self, stream: int, headers: RawHeaders, ended: bool) -> None:
        self._note("response", stream, headers, ended)

    def informational_came(self, stream: int, headers: RawHeaders) -> None:
        self._note("informational", stream, headers)

    def data_came(self, stream: int, data: bytes) -> None:
        assert data
        last = self.calls[-1]
        if last[:2] == ("data", stream):
            self.calls[-1] = ("data", stream, last[2] + data)
        else:
            self._note("data", stream, data)
        if self.takes:
            self.session.took(stream, len(data))

    def stream_ended(self, stream: int, trailers: RawHeaders | None) -> None:
        self._note("ended", stream, trailers)
        if self.answers:
            self.answers(stream)

    def stream_reset(self, stream: int, code: int) -> None:
        self._note("reset", stream, code)

    def room_came(self, stream: int) -> None:
        self._note("room", stream)

    def settings_came(self) -> None:
        self._note("settings")

    def ping_answered(self, data: bytes) -> None:
        self._note("pong", data)

    def goaway_came(self, last_stream: int, code: int) -> None:
        self._note("goaway", last_stream, code)

    def of(self, *kinds: str) -> list[tuple[Any, ...]]:
        return [call for call in self.calls if call[0] in kinds]

    def kinds(self) -> list[str]:
        return [call[0] for call in self.calls]


def heard(name: str, limits: Limits | None = None, *, server: bool, takes: bool = False) -> tuple[Heard, Session]:
    """Return a session and what it tells."""
    told = Heard(takes=takes)
    told.session = session(name, told, limits, server=server)
    return told, told.session


def converse(*sides: Session) -> None:
    """Let two sessions talk until neither has anything to say."""
    one, other = sides
    for _ in range(10_000):
        data, answer = one.output(), other.output()
        if not data and not answer:
            return
        if data:
            other.feed(data)
        if answer:
            one.feed(answer)
    raise AssertionError("they talk without end")


Frame = tuple[int, int, int, bytes]


def split(data: bytes) -> Iterator[Frame]:
    """Yield ``(type, flags, stream, payload)`` of whole frames, a preface left out."""
    data = data.removeprefix(frames.PREFACE)
    at = 0
    while at < len(data):
        high, low, kind, flags, number = frames.HEAD.unpack_from(data, at)
        size = high << 8 | low
        assert at + 9 + size <= len(data), "a frame that is cut off"
        yield kind, flags, number, data[at + 9 : at + 9 + size]
        at += 9 + size


class RawClient:
    """A client that writes frames to a server's session by hand, and reads what it gets."""

    def __init__(self, name: str, limits: Limits | None = None, *, answers: bool = True) -> None:
        self.told, self.session = heard(name, limits, server=True)
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.error: SessionError | None = None
        self.frames: list[Frame] = []
        if answers:
            self.told.answers = self.answer

    def answer(self, stream: int) -> None:
        self.session.respond(stream, OK)
        self.session.send(stream, b"hello", ended=True)

    def begin(self, *values: tuple[int, int]) -> RawClient:
        """Send the preface and SETTINGS, acknowledge the server's."""
        self.send(frames.PREFACE + frames.settings(*values) + frames.frame(frames.SETTINGS, frames.ACK, 0))
        self.frames.clear()
        return self

    def send(self, data: bytes, piece: int = 0) -> None:
        """Feed ``data``, in pieces of so many bytes, until the session has had enough."""
        size = piece or len(data) or 1
        for at in range(0, len(data), size):
            if self.error is not None:
                return
            try:
                self.session.feed(data[at : at + size])
            except SessionError as error:
                self.error = error
            self.read()

    def read(self) -> None:
        self.frames += split(self.session.output())

    def block(self, headers: RawHeaders, *more: tuple[bytes, bytes]) -> bytes:
        return self.encoder.encode([*headers, *more])

    def headers(self, stream: int, headers: RawHeaders, *more: tuple[bytes, bytes], flags: int = 5) -> bytes:
        return frames.frame(frames.HEADERS, flags, stream, self.block(headers, *more))

    def got(self, kind: int, stream: int | None = None) -> list[Frame]:
        return [each for each in self.frames if each[0] == kind and stream in (None, each[2])]

    def body(self, stream: int) -> bytes:
        return b"".join(each[3] for each in self.got(frames.DATA, stream))

    def outcome(self) -> str:
        """Say in a word how it went: ``goaway CODE``, ``reset STREAM CODE`` or ``alive``."""
        if self.error is not None:
            last = self.frames[-1]
            assert last[0] == frames.GOAWAY, last
            assert int.from_bytes(last[3][4:8], "big") == self.error.code
            return f"goaway {self.error.code}"
        for _, _, stream, payload in self.got(frames.RST_STREAM):
            return f"reset {stream} {int.from_bytes(payload, 'big')}"
        return "alive"
