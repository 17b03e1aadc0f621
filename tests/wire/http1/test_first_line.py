"""Tests of the look at a request's first line."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.errors import ExchangeError
from balancer.wire.http1.first_line import SIMPLE, begin


class FirstLineTests(SynchronousTestCase):
    def test_whole(self) -> None:
        """A request line is let through, blank lines before it are not."""
        self.assertEqual(begin(b"\r\n\r\nGET / HTTP/1.1\r\nHost", 100), (b"GET / HTTP/1.1\r\nHost", b""))

    def test_incomplete(self) -> None:
        """What may become a request line waits."""
        for data in (b"", b"G", b"GET", b"GET /", b"GET / HTTP/1", b"GET / HTTP/1.1\r", b"\r"):
            self.assertEqual(begin(data, 100), (b"", data), data)

    def test_refused(self) -> None:
        """What is none, and what will be none, is refused with the status that fits."""
        for data, status in (
            (b"GET  / HTTP/1.1\r\n", 400),
            (b"GET / HTTP/1.1 \r\n", 400),
            (b" GET / HTTP/1.1\r\n", 400),
            (b"\n", 400),
            (b"GET\x00", 400),
            (b"\x16\x03\x01", 400),
            (b"GET / HTTP/2.0\r\n", 505),
            (b"GET / FTP/1.1\r\n", 400),
            (b"GET /" + b"x" * 200, 414),
        ):
            error = self.assertRaises(ExchangeError, begin, data, 100)
            self.assertEqual(error.reason.status, status, data)

    def test_simple(self) -> None:
        """A simple line names method and target."""
        match = SIMPLE.fullmatch(b"GET /a?b HTTP/1.1")
        assert match is not None
        self.assertEqual(match.groups(), (b"GET", b"/a?b"))
        for line in (
            b"GET /a#b HTTP/1.1",
            b"GET /\xe9 HTTP/1.1",
            b"GET a HTTP/1.1",
            b"PURGE / HTTP/1.1",
            b"GET / HTTP/1.0",
        ):
            self.assertIsNone(SIMPLE.fullmatch(line), line)
