"""Tests for :mod:`balancer.forwarding.http2.heads`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.forwarding.http2.heads import outgoing_fields, outgoing_trailers, response_head, response_trailers


class RequestTests(SynchronousTestCase):
    def test_fields(self) -> None:
        """Host becomes :authority, the length is added, names are in lower case."""
        self.assertEqual(
            outgoing_fields("POST", b"https", "/a?b", [(b"Host", b"a.example:1"), (b"X-One", b"1")], 5),
            [
                (b":method", b"POST"),
                (b":scheme", b"https"),
                (b":authority", b"a.example:1"),
                (b":path", b"/a?b"),
                (b"x-one", b"1"),
                (b"content-length", b"5"),
            ],
        )

    def test_no_host(self) -> None:
        """A client of HTTP/1.0 may name no host."""
        self.assertEqual(
            outgoing_fields("GET", b"http", "/", [], None),
            [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/")],
        )

    def test_asterisk(self) -> None:
        """OPTIONS may be asked of the server as a whole."""
        self.assertIn((b":path", b"*"), outgoing_fields("OPTIONS", b"http", "*", [(b"host", b"a")], None))

    def test_trailers(self) -> None:
        """Trailers are in lower case too."""
        self.assertEqual(outgoing_trailers([(b"X-Sum", b"5")]), [(b"x-sum", b"5")])


class ResponseTests(SynchronousTestCase):
    def test_phrase(self) -> None:
        """HTTP/1.1 has a reason phrase, where there is one."""
        for status, phrase in ((b"200", b"OK"), (b"404", b"Not Found"), (b"599", b"")):
            self.assertEqual(response_head([(b":status", status)], ended=True).reason, phrase)

    def test_announced_trailers(self) -> None:
        """A length that would leave no room for the trailers announced is left out."""
        headers = [(b":status", b"200"), (b"content-length", b"5"), (b"trailer", b"x-sum")]
        head = response_head(headers, ended=False)
        self.assertEqual((head.content_length, head.chunked), (None, True))
        self.assertEqual(response_head(headers, ended=True).content_length, 5)
        self.assertEqual(response_head(headers[:2], ended=False).content_length, 5)

    def test_trailers(self) -> None:
        """What is of framing or of a hop is none for trailers."""
        self.assertEqual(response_trailers([(b"x-sum", b"5"), (b"content-length", b"5")]), [(b"x-sum", b"5")])
