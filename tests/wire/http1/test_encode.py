"""Tests for :mod:`balancer.wire.http1.encode`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.wire.http1 import encode


class EncodeTests(SynchronousTestCase):
    def test_request(self) -> None:
        self.assertEqual(
            encode.request_head("GET", "/\xe9", [(b"Host", b"a"), (b"X", b"")]),
            b"GET /\xe9 HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n",
        )

    def test_response(self) -> None:
        """The usual phrase, the server's own, none where the status has none; with and without fields."""
        for status, reason, line in (
            (200, None, b"HTTP/1.1 200 OK"),
            (200, b"OK", b"HTTP/1.1 200 OK"),
            (200, b"Fine", b"HTTP/1.1 200 Fine"),
            (200, b"", b"HTTP/1.1 200 "),
            (799, None, b"HTTP/1.1 799 "),
            (799, b"Odd", b"HTTP/1.1 799 Odd"),
        ):
            self.assertEqual(encode.response_head(status, reason, [], b"\r\n"), line + b"\r\n\r\n")
        self.assertEqual(
            encode.response_head(204, None, [(b"A", b"1"), (b"A", b"2")], b"B: 3\r\n\r\n"),
            b"HTTP/1.1 204 No Content\r\nA: 1\r\nA: 2\r\nB: 3\r\n\r\n",
        )

    def test_chunks(self) -> None:
        self.assertEqual(encode.chunk(b"x" * 26), b"1a\r\n" + b"x" * 26 + b"\r\n")
        self.assertEqual(encode.last_chunk([(b"A", b"1")]), b"0\r\nA: 1\r\n\r\n")
        self.assertEqual(encode.last_chunk([]), encode.LAST_CHUNK)
