"""Servers of HTTP/2 that break the rules of RFC 9113: what they say reaches no client as if it were well, whatever the client speaks."""

from __future__ import annotations

from hpack.hpack import Encoder

from balancer.model.headers import RawHeaders
from balancer.wire.http2 import frames
from balancer.wire.http2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PREFACE,
    PUSH_PROMISE,
    frame,
    window_update,
)
from tests.live.balancers import BalancerTestCase, Peer
from tests.wire.http2.peers import split

_OK = (b":status", b"200")
_FIVE = (b"content-length", b"5")


def _head(*headers: tuple[bytes, bytes], end: bool = False) -> bytes:
    encoder = Encoder()
    encoder.header_table_size = 0
    listed: RawHeaders = list(headers)
    return frame(HEADERS, END_HEADERS | END_STREAM * end, 1, encoder.encode(listed))


def _data(data: bytes, *, end: bool = True) -> bytes:
    return frame(DATA, END_STREAM * end, 1, data)


_MALFORMED = {
    "no status": _head((b"x", b"y"), end=True),
    "two statuses": _head(_OK, _OK, end=True),
    "a status behind others": _head((b"x", b"y"), _OK, end=True),
    "a request's pseudo-field": _head(_OK, (b":path", b"/"), end=True),
    "a name in upper case": _head(_OK, (b"X-Y", b"z"), end=True),
    "a blank in a name": _head(_OK, (b"x y", b"z"), end=True),
    "another response in a value": _head(_OK, (b"x", b"y\r\n\r\nHTTP/1.1 200 OK"), end=True),
    "a blank before a value": _head(_OK, (b"x", b" y"), end=True),
    "connection": _head(_OK, (b"connection", b"close"), end=True),
    "transfer-encoding": _head(_OK, (b"transfer-encoding", b"chunked"), end=True),
    "101": _head((b":status", b"101"), end=True),
    "a 1xx that ends the stream": _head((b":status", b"103"), end=True),
    "a 1xx, and then the end": _head((b":status", b"103")) + _data(b""),
    "DATA before the head": _data(b"hello"),
    "two lengths": _head(_OK, _FIVE, _FIVE) + _data(b"hello"),
    "a length and no body": _head(_OK, _FIVE, end=True),
    "less than its length": _head(_OK, _FIVE) + _data(b"hell"),
    "more than its length": _head(_OK, _FIVE) + _data(b"hello!"),
    "trailers that do not end it": _head(_OK) + _data(b"he", end=False) + _head((b"x-sum", b"1")) + _data(b"llo"),
    "a pseudo-field in trailers": _head(_OK) + _data(b"hello", end=False) + _head(_OK, end=True),
    "too much padding": _head(_OK) + frame(DATA, END_STREAM | PADDED, 1, b"\x09hello"),
    "a frame too large": _head(_OK) + frame(DATA, END_STREAM, 1, bytes(16385)),
    "a push": frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2\x82\x84\x86\x41\x01a") + _head(_OK) + _data(b"hello"),
    "a header list that cannot be decoded": frame(HEADERS, 5, 1, b"\xfe"),
    "a window too large": window_update(1, frames.HIGHEST) * 2 + _head(_OK) + _data(b"hello"),
}
"""What a server says on stream 1 instead of a response."""
_HEADLESS = {
    "DATA in answer to HEAD": ("HEAD", _head(_OK, _FIVE) + _data(b"hello")),
    "DATA behind 304": ("GET", _head((b":status", b"304")) + _data(b"hello")),
    "DATA behind 204": ("GET", _head((b":status", b"204")) + _data(b"hello")),
}


def _on(stream: int, data: bytes) -> bytes:
    """Return the same frames, those of stream 1 on ``stream``."""
    return b"".join(frame(kind, flags, number and stream, payload) for kind, flags, number, payload in split(data))


_HINTS = b"HTTP/1.1 103 Early Hints\r\n\r\n"


def _is_whole(came: bytes) -> bool:
    """Whether it is a response that is not an error of ours, and that a client takes for complete."""
    head, _, body = came.partition(b"\r\n\r\n")
    head = head.lower() + b"\r\n"
    if not came or head.startswith(b"http/1.1 502 "):
        return False
    if b"transfer-encoding: chunked\r\n" in head:
        return body.endswith(b"0\r\n\r\n")
    return b"content-length: %d\r\n" % len(body) in head or b"content-length" not in head


class BadServerTests(BalancerTestCase):
    """What comes of it."""

    library = "nghttp2"

    def setUp(self) -> None:
        self.said = b""
        self.server_ = self.server(self.talk)
        self.running, self.port = self.web(
            f"{{address: '{self.server_.address}'}}", pool="protocol: h2\nretry: false\npassive: false"
        )

    def run_balancer(self, text, **more):  # type: ignore[no-untyped-def]
        return super().run_balancer(text, BALANCER_HTTP2=self.library, **more)

    def talk(self, peer: Peer) -> None:
        """Take a request, and say what is to be said; then nothing more."""
        peer.exactly(len(PREFACE))
        peer.send(frames.settings() + frame(frames.SETTINGS, frames.ACK, 0))
        while True:
            head = peer.exactly(9)
            peer.exactly(int.from_bytes(head[:3], "big"))
            if head[3] == HEADERS:
                peer.send(_on(int.from_bytes(head[5:9], "big"), self.said))

    def test_malformed(self) -> None:
        """It is a 502, or the response is cut where its head has gone already; the balancer goes on."""
        wrong = []
        for title, self.said in _MALFORMED.items():
            peer = self.connect(self.port)
            peer.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            came = peer.rest()
            if _is_whole(came.removeprefix(_HINTS)):
                wrong.append(f"{title}: {came[:200]!r}")
        self.assertEqual(wrong, [])
        self.assertIsNone(self.running.process.poll())
        self.assertNotIn("Traceback", self.running.output.read_text())

    def test_without_bodies(self) -> None:
        """What has no body gets none, nor does the next response begin with it."""
        for title, (method, self.said) in _HEADLESS.items():
            peer = self.connect(self.port)
            peer.send(b"%b / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % method.encode())
            self.assertNotIn(b"hello", peer.rest(), title)


class PureBadServerTests(BadServerTests):
    """The same on the pure library."""

    library = "h2"
