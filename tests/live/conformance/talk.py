"""A connection on which a case says its frames, and what may come of it.

The verdicts are those of h2spec: a connection error is satisfied by GOAWAY with one of its codes or by the connection's end, a
stream error by RST_STREAM too. What is expected is waited for, whatever else comes before it.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hpack.hpack import Encoder

from balancer.model.headers import RawHeaders
from balancer.wire.http2 import frames
from balancer.wire.http2.frames import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY_FLAG,
    RST_STREAM,
    SETTINGS,
)

__all__ = [
    "Case",
    "Cases",
    "Frame",
    "Talk",
    "accepted",
    "closed",
    "connection_error",
    "data_of",
    "frame_of",
    "goaway",
    "headers_on",
    "pong",
    "reset",
    "settings_ack",
    "stream_error",
    "stream_over",
]

PATIENCE = 20.0
"""Seconds to wait for what is expected: more than any machine takes."""

Frame = tuple[int, int, int, bytes]
Verdict = Callable[["Talk"], str]
"""Returns what is wrong, ``""`` if nothing is."""


class Talk:
    """One connection. ``settings`` are the server's."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        skt = socket.create_connection(("127.0.0.1", port), PATIENCE)
        skt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            skt = context.wrap_socket(skt, server_hostname="a.example")
        skt.settimeout(PATIENCE)
        self.skt = skt
        self.scheme = b"http" if context is None else b"https"
        self.authority = b"127.0.0.1:%d" % port
        self.settings: dict[int, int] = {}
        self.seen: list[str] = []
        self.ended = ""
        self._encoder = Encoder()
        self._data = b""

    # What is said.

    def send(self, *data: bytes) -> None:
        """Write each piece by itself; a server that has had enough is no surprise."""
        for piece in data:
            try:
                self.skt.sendall(piece)
            except OSError:
                return

    def shake(self) -> Talk:
        """Exchange prefaces and SETTINGS; each side has acknowledged the other's then."""
        self.send(PREFACE + frames.settings((4, 65535)))
        ours = theirs = False
        while not (ours and theirs):
            frame = self.next()
            if frame is None:
                raise AssertionError(f"no SETTINGS: {self.ended}")
            if frame[0] == SETTINGS and frame[1] & ACK:
                ours = True
            elif frame[0] == SETTINGS:
                theirs = True
                self.settings = dict(frames.SETTING.iter_unpack(frame[3]))
                self.send(frames.frame(SETTINGS, ACK, 0))
        return self

    def request(self, method: bytes = b"GET", *more: tuple[bytes, bytes]) -> RawHeaders:
        """Return a request's header list, in the suite's order."""
        line = [(b":method", method), (b":scheme", self.scheme), (b":path", b"/"), (b":authority", self.authority)]
        return [*line, *more]

    def block(self, headers: RawHeaders) -> bytes:
        return bytes(self._encoder.encode(headers))

    def dummies(self, count: int) -> bytes:
        """Return that many large fields, encoded."""
        return self.block([(b"x-dummy%d" % each, b"x" * 4000) for each in range(count)])

    def head(
        self,
        stream: int = 1,
        headers: RawHeaders | None = None,
        *,
        end: bool = True,
        whole: bool = True,
        block: bytes | None = None,
        padding: int = 0,
        priority: bytes = b"",
    ) -> bytes:
        """Return HEADERS of a request, END_STREAM set with ``end``, END_HEADERS with ``whole``."""
        if block is None:
            block = self.block(self.request() if headers is None else headers)
        flags = END_STREAM * end | END_HEADERS * whole
        payload = priority + block
        if priority:
            flags |= PRIORITY_FLAG
        if padding:
            flags |= PADDED
            payload = bytes([padding]) + payload + bytes(padding)
        return frames.frame(HEADERS, flags, stream, payload)

    # What comes.

    def next(self) -> Frame | None:
        """Return the next frame, None once the connection has ended, or nothing came for too long: ``ended`` says how."""
        while True:
            data = self._data
            if len(data) >= 9:
                size = int.from_bytes(data[:3], "big")
                if len(data) >= 9 + size:
                    self._data = data[9 + size :]
                    frame = data[3], data[4], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]
                    self.seen.append(_words(frame))
                    return frame
            if self.ended:
                return None
            try:
                more = self.skt.recv(65536)
            except TimeoutError:
                self.ended = "timed out"
                return None
            except OSError as error:  # a reset is an end as well
                self.ended = f"closed ({error})"
                return None
            if not more:
                self.ended = "closed"
            self._data += more

    def until(self, wanted: Callable[[Frame], bool]) -> str:
        """Read until a frame is what is wanted; return how the connection ended if there is none."""
        while (frame := self.next()) is not None:
            if wanted(frame):
                return ""
        return f"{self.ended} after {', '.join(self.seen[-6:])}"

    def close(self) -> None:
        self.skt.close()


def _words(frame: Frame) -> str:
    kind, flags, stream, payload = frame
    if kind == GOAWAY:
        return f"GOAWAY {int.from_bytes(payload[4:8], 'big')}"
    if kind == RST_STREAM:
        return f"RST_STREAM {stream} {int.from_bytes(payload, 'big')}"
    names = "DATA HEADERS PRIORITY RST_STREAM SETTINGS PUSH_PROMISE PING GOAWAY WINDOW_UPDATE CONTINUATION".split()
    return f"{names[kind] if kind < len(names) else kind} {flags:#x} {stream} {len(payload)}"


# Verdicts.


def _code(frame: Frame) -> int:
    return int.from_bytes(frame[3][4:8] if frame[0] == GOAWAY else frame[3], "big")


def _error(kinds: tuple[int, ...], codes: tuple[int, ...]) -> Verdict:
    def judge(talk: Talk) -> str:
        found = talk.until(lambda frame: frame[0] in kinds and _code(frame) in codes)
        return "" if not found or talk.ended.startswith("closed") else found

    return judge


def connection_error(*codes: int) -> Verdict:
    return _error((GOAWAY,), codes)


def stream_error(*codes: int) -> Verdict:
    return _error((GOAWAY, RST_STREAM), codes)


def closed(talk: Talk) -> str:
    """The connection's end, whatever is said before."""
    found = talk.until(lambda frame: False)
    return "" if talk.ended.startswith("closed") else found


def goaway(code: int) -> Verdict:
    """GOAWAY itself, and nothing else."""
    return lambda talk: talk.until(lambda frame: frame[0] == GOAWAY and _code(frame) == code)


def reset(stream: int, code: int) -> Verdict:
    """RST_STREAM itself; the first one must be it."""

    def judge(talk: Talk) -> str:
        found = talk.until(lambda frame: frame[0] == RST_STREAM)
        return found if found or talk.seen[-1] == f"RST_STREAM {stream} {code}" else talk.seen[-1]

    return judge


def frame_of(kind: int) -> Verdict:
    """The first frame of that type."""
    return lambda talk: talk.until(lambda frame: frame[0] == kind)


def headers_on(stream: int = 1) -> Verdict:
    return lambda talk: talk.until(lambda frame: frame[0] == HEADERS and frame[2] == stream)


def data_of(size: int) -> Verdict:
    """DATA, the first of so many bytes."""

    def judge(talk: Talk) -> str:
        sizes: list[int] = []

        def wanted(frame: Frame) -> bool:
            if frame[0] == DATA:
                sizes.append(len(frame[3]))
            return bool(sizes)

        return talk.until(wanted) or ("" if sizes == [size] else f"DATA of {sizes[0]} bytes")

    return judge


def pong(data: bytes = bytes(8)) -> Verdict:
    return lambda talk: talk.until(lambda frame: frame[0] == PING and bool(frame[1] & ACK) and frame[3] == data)


def settings_ack(talk: Talk) -> str:
    return talk.until(lambda frame: frame[0] == SETTINGS and bool(frame[1] & ACK))


def stream_over(talk: Talk) -> str:
    """The response's end."""
    return talk.until(lambda frame: frame[0] in (DATA, HEADERS) and bool(frame[1] & END_STREAM))


def accepted(talk: Talk) -> str:
    """The connection goes on: a PING behind it is answered, and no stream was reset."""
    talk.send(frames.frame(PING, 0, 0, b"alright?"))
    found = pong(b"alright?")(talk)
    bad = [words for words in talk.seen if words.startswith(("RST_STREAM", "GOAWAY"))]
    return found or ", ".join(bad)


# Cases.


@dataclass(frozen=True)
class Case:
    """What is said, by a function that gets the connection (shaken hands on, unless ``raw``), and what is to come of it."""

    group: str
    title: str
    says: Callable[[Talk], Any]
    verdict: Verdict
    raw: bool = False

    def run(self, port: int, context: ssl.SSLContext | None) -> str:
        """Return what is wrong, ``""`` if nothing is."""
        talk = Talk(port, context)
        try:
            if not self.raw:
                talk.shake()
            said = self.says(talk)
            if isinstance(said, str) and said:
                return f"{self}: {said}"
            if isinstance(said, bytes):
                talk.send(said)
            elif isinstance(said, tuple):
                talk.send(*said)
            found = self.verdict(talk)
            return f"{self}: {found}" if found else ""
        finally:
            talk.close()

    def __str__(self) -> str:
        return f"{self.group} {self.title}"


class Cases(list[Case]):
    """The cases of one module; ``group`` is the part of the suite they are from."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self._part = part

    def add(self, section: str, title: str, verdict: Verdict, says: Any, *, raw: bool = False) -> None:
        """Add one: ``says`` are bytes, or a function that returns what is still to be said, or in words what went wrong."""
        function = says if callable(says) else lambda _: says
        self.append(Case(f"{self._part}/{section}", title, function, verdict, raw))

    def case(self, section: str, title: str, verdict: Verdict, *, raw: bool = False) -> Any:
        def decorate(function: Callable[[Talk], Any]) -> Callable[[Talk], Any]:
            self.add(section, title, verdict, function, raw=raw)
            return function

        return decorate
