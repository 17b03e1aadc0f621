"""HTTP/2 that was damaged, or made up of frames at random: a session on either library ends it in order, and lets nothing through.

``BALANCER_FUZZ`` is how many examples each case tries.
"""

from __future__ import annotations

import gc
import os
import random
import re
import weakref
from pathlib import Path
from typing import Any

from hpack.hpack import Encoder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from balancer.errors import ExchangeError
from balancer.model.headers import RawHeaders
from balancer.wire.http1.heads import HeadLimits
from balancer.wire.http2 import frames, heads, sessions
from balancer.wire.http2.interface import Limits, SessionError
from tests.listeners.http2.conversation import ConversationTestCase, Pipe
from tests.wire.http2.peers import GET, LIBRARIES, OK, POST, Heard, session, split

_EXAMPLES = int(os.environ.get("BALANCER_FUZZ", "150"))
_LIMITS = Limits(
    streams=5, stream_window=20_000, connection_window=65535, head_size=2000, header_count=20, connect_protocol=True
)
_NAME = re.compile(rb":?[!#$%&'*+\-.^_`|~0-9a-z]+\Z")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*\Z")


class Answering(Heard):
    """Answers whatever comes, in one of several ways."""

    def __init__(self, draw: random.Random) -> None:
        super().__init__()
        self.draw = draw
        self.held: list[tuple[int, int]] = []

    def request_came(self, stream: int, headers: RawHeaders, ended: bool) -> None:
        super().request_came(stream, headers, ended)
        way = self.draw.randrange(5)
        if way == 0:
            self.session.reset(stream, 8)
        elif way == 1:
            self.session.respond(stream, OK, ended=True)
        elif way == 2:
            self.session.inform(stream, [(b":status", b"103")])
            self.session.respond(stream, OK)
            self.session.end(stream, [(b"x", b"y")])
        elif way == 3:
            self.session.respond(stream, OK)
            self.session.send(stream, b"a" * 100_000)

    def data_came(self, stream: int, data: bytes) -> None:
        super().data_came(stream, data)
        if self.draw.randrange(2):
            self.session.took(stream, len(data))


def _run(name: str, data: bytes, seed: int, *, server: bool) -> Heard:
    """Feed ``data`` in pieces; what comes of it must be in order, whatever it is."""
    draw = random.Random(seed)
    told = Answering(draw)
    told.session = speaker = session(name, told, _LIMITS, server=server)
    if not server:
        for _ in range(3):
            speaker.request(POST, ended=bool(draw.randrange(2)))
    written = speaker.output()
    ended = None
    at = 0
    try:
        while at < len(data):
            size = draw.choice((1, 9, 30, 1000, 100_000))
            speaker.at(at / 1000)
            speaker.feed(data[at : at + size])
            at += size
            if draw.randrange(2):
                written += speaker.output()
    except SessionError as error:
        ended = error.code
    written += speaker.output()
    said = list(split(written))
    if ended is not None:
        assert said[-1][0] == frames.GOAWAY
        assert int.from_bytes(said[-1][3][4:8], "big") == ended
    assert speaker.open_streams <= _LIMITS.streams
    for call in told.of("request", "response", "informational", "ended"):
        _judge(call)
    return told


def _judge(call: tuple[Any, ...]) -> None:
    headers = call[2] or []
    pseudo = True
    for field, value in headers:
        assert _NAME.match(field), field
        assert _VALUE.match(value), value
        assert pseudo or not field.startswith(b":"), headers
        pseudo = field.startswith(b":")
    if call[0] == "request":
        try:
            heads.request_head(headers, HeadLimits(), ended=call[3])
        except ExchangeError:
            return
    elif call[0] == "response":
        heads.response_head(headers)


def _conversation(draw: random.Random, *, server: bool) -> bytes:
    """Return what a well-behaved peer may say."""
    encoder = Encoder()
    pieces = [frames.PREFACE] if server else []
    pieces += [frames.settings((4, draw.choice((0, 10, 65535, 1 << 20)))), frames.frame(frames.SETTINGS, frames.ACK, 0)]
    for number in range(1, 2 * draw.randrange(2, 8), 2):
        if server:
            headers = [*draw.choice((GET, POST)), (b"x-number", b"%d" % number)]
            if draw.randrange(4) == 0:
                headers = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]]
        else:
            headers = [*OK, (b"x-number", b"%d" % number)]
        more = bool(draw.randrange(2))
        pieces.append(frames.frame(frames.HEADERS, 4 if more else 5, number, encoder.encode(headers)))
        if more:
            pieces += [
                frames.frame(frames.DATA, 0, number, b"z" * draw.choice((0, 1, 500, 9000)))
                for _ in range(draw.randrange(3))
            ]
            pieces.append(frames.frame(frames.HEADERS, 5, number, encoder.encode([(b"x-sum", b"1")])))
        pieces.append(
            draw.choice(
                (
                    b"",
                    frames.window_update(0, draw.choice((1, 1000))),
                    frames.window_update(number, 100),
                    frames.frame(frames.PING, 0, 0, b"12345678"),
                    frames.reset(number, 8),
                    frames.frame(frames.PRIORITY, 0, number, b"\0\0\0\0\1"),
                    frames.frame(0x55, 0, number, b"grease"),
                )
            )
        )
    return b"".join(pieces)


def _damaged(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.randrange(1, 5)):
        at = draw.randrange(24, len(changed))
        way = draw.randrange(4)
        if way == 0:
            changed[at] ^= 1 << draw.randrange(8)
        elif way == 1:
            changed[at] = draw.choice((0, 1, 0x7F, 0xFF, 10, 13))
        elif way == 2:
            del changed[at : at + draw.randrange(1, 20)]
        else:
            changed[at:at] = changed[at : at + draw.randrange(1, 60)]
        if len(changed) < 40:
            break
    return bytes(changed)


_frame = st.builds(
    frames.frame,
    st.integers(0, 17),
    st.integers(0, 255),
    st.one_of(st.integers(0, 9), st.sampled_from([101, 1 << 30, frames.HIGHEST, 0xFFFFFFFF])),
    st.one_of(
        st.binary(max_size=60),
        st.integers(0, 0xFFFFFFFF).map(lambda number: number.to_bytes(4, "big")),
        st.sampled_from(
            [b"\x82\x87\x84\x41\x01a", b"\x83\x87\x84\x41\x01a", b"\x88", b"\0" * 8, b"\0\0\0\3\x10", bytes(5000)]
        ),
    ),
)


class DamageTests(TestCase):
    @settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(0, 1 << 32), st.booleans())
    def test_damaged_conversations(self, seed: int, server: bool) -> None:
        """Bits turned over, bytes lost, doubled and replaced."""
        data = _damaged(_conversation(random.Random(seed), server=server), random.Random(seed + 1))
        for name in LIBRARIES:
            _run(name, data, seed, server=server)

    @settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(_frame, max_size=40), st.integers(0, 1 << 32), st.booleans())
    def test_frames_at_random(self, sent: list[bytes], seed: int, server: bool) -> None:
        """Of any type, flags, stream and payload, behind a good beginning."""
        data = (frames.PREFACE if server else b"") + frames.settings() + b"".join(sent)
        for name in LIBRARIES:
            _run(name, data, seed, server=server)

    @settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(0, 1 << 32), st.booleans())
    def test_what_is_well_is_told_alike(self, seed: int, server: bool) -> None:
        """Both libraries tell the same of what a well-behaved peer says, but for how the owner answered meanwhile."""
        data = _conversation(random.Random(seed), server=server)
        seen = []
        for name in LIBRARIES:
            told = Heard()
            told.session = speaker = session(name, told, Limits(connect_protocol=True), server=server)
            if not server:
                for _ in range(8):
                    speaker.request(POST, ended=False)
            speaker.output()
            try:
                speaker.feed(data)
            except SessionError as error:
                told.calls.append(("error", error.code))
            seen.append([call for call in told.calls if call[0] != "reset"])
        self.assertEqual(seen[0], seen[1])

    @settings(max_examples=_EXAMPLES, deadline=None)
    @given(st.binary(max_size=300), st.integers(0, 1 << 32), st.booleans())
    def test_anything(self, data: bytes, seed: int, server: bool) -> None:
        """Bytes that never were HTTP/2."""
        for name in LIBRARIES:
            _run(name, data, seed, server=server)


class LeakTests(TestCase):
    def test_memory(self) -> None:
        """Connections that end in whatever way leave nothing behind: neither the session, nor what a library keeps outside Python."""
        kept: list[weakref.ref[Heard]] = []
        for name in LIBRARIES:
            for first, last in ((0, 300), (300, 900)):
                before = _memory()
                for seed in range(first, last):
                    server = bool(seed & 1)
                    data = _conversation(random.Random(seed), server=server)
                    if seed % 3:
                        data = _damaged(data, random.Random(seed + 1))
                    kept.append(weakref.ref(_run(name, data, seed, server=server)))
                gc.collect()
                self.assertLessEqual(sum(each() is not None for each in kept), 1, name)  # the last one
            self.assertLess(_memory() - before, 4_000_000, name)


def _memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class ConnectionTests(ConversationTestCase):
    """The same, to whole connections of clients in memory."""

    def _hold_to(self, library: str) -> None:
        sessions.library_in_use.cache_clear()
        self.addCleanup(sessions.library_in_use.cache_clear)
        self.patch(os, "environ", {**os.environ, sessions.VARIABLE: library})
        self.listen("routes: [{match: {path: /hello}, respond: {status: 200, body: hello}}, {pool: web}]")
        for seed in range(_EXAMPLES):
            draw = random.Random(seed)
            data = _conversation(draw, server=True)
            if seed % 4:
                data = _damaged(data, draw)
            pipe = Pipe()
            pipe.room = draw.choice((1000, 1 << 30))
            channel: Any = self.listener.buildProtocol(pipe.getPeer())
            channel.makeConnection(pipe)
            at = 0
            while at < len(data) and not (pipe.aborted or pipe.disconnecting):
                size = draw.choice((9, 100, 100_000))
                (getattr(pipe, "protocol", None) or channel).dataReceived(data[at : at + size])
                at += size
                if draw.randrange(2):
                    pipe.drain()
                if draw.randrange(8) == 0 and self.runtime.servers:
                    server: Any = draw.choice(self.runtime.servers)
                    if not server.closed and server.owner is not None and not server.transport.aborted:
                        server.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n" + bytes(50_000))
            self.passes(0.2)
            (getattr(pipe, "protocol", None) or channel).connectionLost()
            self.assertEqual(self.flushLoggedErrors(), [], f"seed {seed}")
            self.runtime.servers.clear()
        self.passes(2)
        self.assertEqual(self.listener.channels, set())
        self.assertGreater(len(self.records), _EXAMPLES)

    def test_nghttp2(self) -> None:
        """Nothing is raised, and nobody stays."""
        self._hold_to("nghttp2")

    def test_h2(self) -> None:
        """Nor on the pure library."""
        self._hold_to("h2")
