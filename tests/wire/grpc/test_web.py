"""Tests of gRPC-Web."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer.wire.grpc.messages import TRAILERS, MessageError, frame
from balancer.wire.grpc.web import (
    FromBase64,
    ToBase64,
    TrailersReader,
    is_text,
    is_web,
    plain_type,
    read_trailers,
    trailers_frame,
    web_type,
)

FIELDS = [(b"grpc-status", b"0"), (b"grpc-message", b"all%20good"), (b"x-empty", b"")]


class TypeTests(SynchronousTestCase):
    def test_types(self) -> None:
        """Each of gRPC-Web's types has one of gRPC's, and back."""
        for web, plain, text in (
            (b"application/grpc-web", b"application/grpc", False),
            (b"application/grpc-web+proto", b"application/grpc+proto", False),
            (b"application/grpc-web-text", b"application/grpc", True),
            (b"application/grpc-web-text+proto; charset=utf-8", b"application/grpc+proto; charset=utf-8", True),
        ):
            self.assertEqual((is_web(web), is_text(web), plain_type(web)), (True, text, plain))
            self.assertEqual(web_type(plain, text=text), web)
        for other in (b"application/grpc", b"application/grpc-webs", b"application/grpc-web-texts", b"text/plain"):
            self.assertFalse(is_web(other), other)
        self.assertEqual(web_type(b"text/html", text=True), b"text/html")


class TrailersTests(SynchronousTestCase):
    def test_frame(self) -> None:
        """Lines of HTTP/1.1 with names in lower case, behind a flag."""
        made = trailers_frame([(b"Grpc-Status", b"5"), (b"grpc-message", b"no")])
        self.assertEqual(made, b"\x80\0\0\0\x22grpc-status: 5\r\ngrpc-message: no\r\n")
        self.assertEqual(read_trailers(made[5:]), [(b"grpc-status", b"5"), (b"grpc-message", b"no")])
        self.assertEqual(read_trailers(b"grpc-status:0"), [(b"grpc-status", b"0")])
        for bad in (b"nonsense\r\n", b"bad name: x\r\n", b": x\r\n", b"a: x\ry\r\n"):
            self.assertRaises(MessageError, read_trailers, bad)

    def test_every_split(self) -> None:
        """They are taken out of a body at any split; messages pass."""
        body = frame(b"one") + frame(b"", 1) + frame(b"x" * 200)
        stream = body + trailers_frame(FIELDS)
        for at in range(len(stream) + 1):
            reader = TrailersReader()
            self.assertEqual(reader.feed(stream[:at]) + reader.feed(stream[at:]), body)
            self.assertEqual(reader.trailers, FIELDS)
            reader.end()
        reader = TrailersReader()
        self.assertEqual(b"".join(reader.feed(bytes((byte,))) for byte in stream), body)
        self.assertEqual(reader.trailers, FIELDS)

    def test_refused(self) -> None:
        """Unknown flags, trailers too long, something behind them, an end within."""
        for stream in (
            frame(b"", 2),
            bytes((TRAILERS, 0, 1, 0, 1)),
            trailers_frame(FIELDS) + b"x",
            frame(b"junk", TRAILERS),
        ):
            self.assertRaises(MessageError, TrailersReader().feed, stream)
        for stream in (frame(b"one")[:3], frame(b"one")[:-1], trailers_frame(FIELDS)[:-1]):
            reader = TrailersReader()
            reader.feed(stream)
            self.assertRaises(MessageError, reader.end)
        empty = TrailersReader()
        empty.feed(frame(b"", TRAILERS))
        self.assertEqual(empty.trailers, [])


class Base64Tests(SynchronousTestCase):
    @given(st.lists(st.tuples(st.binary(max_size=20), st.booleans()), max_size=8), st.integers(1, 9))
    def test_round_trip(self, pieces: list[tuple[bytes, bool]], size: int) -> None:
        """Any body comes back, flushed (and padded) anywhere, in pieces of any size."""
        writer, reader = ToBase64(), FromBase64()
        stream = b"".join(writer.feed(data, flush=flush) for data, flush in pieces) + writer.feed(b"", flush=True)
        found = b"".join(reader.feed(stream[at : at + size]) for at in range(0, len(stream), size))
        reader.end()
        self.assertEqual(found, b"".join(data for data, _ in pieces))

    def test_vectors(self) -> None:
        """What browsers send: one padded piece for each message, or for all."""
        message = frame(b"hello")
        self.assertEqual(ToBase64().feed(message, flush=True), base64.b64encode(message))
        self.assertEqual(FromBase64().feed(base64.b64encode(message) * 2), message * 2)

    def test_refused(self) -> None:
        """What is no base64, or ends too soon."""
        for bad in (b"a b=", b"====", b"a===", b"ab=c", b"\xff\xff\xff\xff"):
            self.assertRaises(MessageError, FromBase64().feed, bad)
        reader = FromBase64()
        reader.feed(b"AAAA" + b"AA")
        self.assertRaises(MessageError, reader.end)
