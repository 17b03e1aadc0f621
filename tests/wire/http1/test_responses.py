"""Tests of reading responses."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer.errors import ExchangeError
from balancer.wire.http1.body import BULK
from balancer.wire.http1.responses import ResponseReader


def read(*pieces: bytes, method: str = "GET", eof: bool = False) -> ResponseReader:
    reader = ResponseReader()
    reader.expect(method)
    for piece in pieces:
        reader.feed(piece)
    if eof:
        reader.eof()
    return reader


def seen(reader: ResponseReader) -> tuple[object, ...]:
    head = reader.head
    assert head is not None
    return (
        [each.status for each in reader.informational],
        head.status,
        head.plain,
        b"".join(reader.body.take()),
        reader.body.ended,
        reader.body.trailers,
        reader.reusable,
    )


GOOD = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", True),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nok\r\n0\r\nX: y\r\n\r\n", b"ok", True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", b"", True),
    "close": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", b"ok", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", False),
    "HTTP/1.0 kept": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", b"ok", True),
    "no phrase": (b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", b"", True),
    "informational": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"ok",
        True,
    ),
}


class ResponseReaderTests(SynchronousTestCase):
    def test_every_split(self) -> None:
        """Bodies in every framing are read whole, byte by byte and at every split, and the connection is kept if it may be."""
        for name, (data, body, reusable) in GOOD.items():
            whole = seen(read(data))
            self.assertEqual((whole[3], whole[4], whole[6]), (body, True, reusable), name)
            self.assertEqual(seen(read(*(data[at : at + 1] for at in range(len(data))))), whole, name)
            for at in range(1, len(data)):
                self.assertEqual(seen(read(data[:at], data[at:])), whole, (name, at))

    def test_head_size(self) -> None:
        """How large a head may be does not depend on how it arrives, nor on what comes with it."""
        body = b"x" * 100_000
        for size, good in ((64 * 1024, True), (64 * 1024 + 1, False)):
            for before in (b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"):
                start = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nX: "
                data = before + start + b"a" * (size - len(before) - len(start) - 4) + b"\r\n\r\n" + body
                for pieces in (
                    [data],
                    [data[:size], data[size:]],
                    [data[: size - 1], data[size - 1 :]],
                    [data[:10], data[10:]],
                    [data[at : at + 1000] for at in range(0, len(data), 1000)],
                ):
                    if good:
                        self.assertEqual(seen(read(*pieces))[3:5], (body, True))
                    else:
                        with self.assertRaises(ExchangeError) as caught:
                            read(*pieces)
                        self.assertEqual(caught.exception.reason.code, "http_response_header_section_size")

    def test_version(self) -> None:
        """Only HTTP/1.0 and HTTP/1.1 are spoken on such a connection."""
        for version in (b"2.0", b"0.9", b"3.0", b"1.2"):
            with self.assertRaises(ExchangeError, msg=version) as caught:
                read(b"HTTP/%b 200 OK\r\nContent-Length: 0\r\n\r\n" % version)
            self.assertEqual(caught.exception.reason.code, "http_protocol_error")
        for version in ("1.0", "1.1"):
            head = read(f"HTTP/{version} 200 OK\r\nContent-Length: 0\r\n\r\n".encode()).head
            assert head is not None
            self.assertEqual(head.version, version)

    def test_until_close(self) -> None:
        """A body without length ends with the connection, which is not kept."""
        reader = read(b"HTTP/1.1 200 OK\r\n\r\nall of", b" it", eof=True)
        self.assertEqual(seen(reader)[3:], (b"all of it", True, None, False))

    def test_cut(self) -> None:
        """A body that ends before its length, or its last chunk, is not complete."""
        for data in (b"Content-Length: 5\r\n\r\nab", b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"):
            reader = read(b"HTTP/1.1 200 OK\r\n" + data)
            self.assertFalse(reader.eof())
            self.assertFalse(reader.body.ended)

    def test_head(self) -> None:
        """The answer to HEAD has no body, whatever it declares, and the next response is read from its beginning."""
        reader = ResponseReader()
        for _ in range(3):
            reader.expect("HEAD")
            reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
            self.assertTrue(reader.body.ended and reader.reusable)
        reader.expect("GET")
        reader.feed(GOOD["length"][0])
        self.assertEqual(seen(reader)[3], b"ok")

    def test_unasked(self) -> None:
        """Bytes behind a response make its connection unfit for another request."""
        for extra in (b"x", GOOD["length"][0]):
            reader = read(GOOD["length"][0] + extra)
            self.assertEqual(seen(reader)[3:5], (b"ok", True))
            self.assertFalse(reader.reusable)

    def test_switching(self) -> None:
        """What follows a 101 is of the new protocol."""
        reader = read(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nnew", b" words")
        self.assertEqual((reader.head and reader.head.upgrade, reader.leftover), (b"x", b"new words"))

    def test_hop_by_hop(self) -> None:
        """Fields of one hop, and those that Connection names, are left out."""
        reader = read(
            b"HTTP/1.1 200 OK\r\nKeep-Alive: x\r\nConnection: X-Mine\r\nX-Mine: 1\r\nX-Own: 2\r\nContent-Length: 0\r\n\r\n"
        )
        self.assertEqual(seen(reader)[2], [(b"X-Own", b"2")])

    def test_refused(self) -> None:
        """What is no HTTP, or has two framings, raises an error that blames the server."""
        for data in (
            b"SSH-2.0-x\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
            b"HTTP/1.1 200 OK\n\n",
            b"HTTP/1.1 42 Low\r\n\r\n",
        ):
            with self.assertRaises(ExchangeError) as caught:
                read(data)
            self.assertEqual(caught.exception.reason.status, 502, data)

    def test_limits(self) -> None:
        """Heads, informational ones, trailers and chunk extensions without end are refused."""
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        for start, endless in (
            (b"HTTP/1.1 200 OK\r\nX: ", b"a"),
            (b"HTTP/1.1 200 OK\r\n", b"X: a\r\n"),
            (b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
            (chunked + b"2;", b"x"),
            (chunked + b"0\r\nX: ", b"y"),
            (chunked + b"0\r\n", b"X: y\r\n"),
        ):
            reader = read(start)
            with self.assertRaises(ExchangeError):
                for _ in range(10_000):
                    reader.feed(endless * 100)


_RESPONSES = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: 1\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: 1\r\n\r\na",
    b"b",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: 1\r\n\r\nabc",
    b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\nx",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nab",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nuntil close",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: 1\r\n\r\nab",
)


class _Forgetful(ResponseReader):
    __slots__ = ()

    def _remember(self, data: bytes) -> None:
        pass


class LargeBodyTests(SynchronousTestCase):
    """A body that is counted instead of parsed is the same body."""

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 3 * BULK), st.booleans()), min_size=1, max_size=5), st.data())
    def test_any_split(self, answers: list[tuple[int, bool]], data: st.DataObject) -> None:
        reader = ResponseReader()
        for number, (size, close) in enumerate(answers):
            head = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n" % (
                b"Connection: close\r\n" if close else b"",
                size,
            )
            text = head + bytes([65 + number]) * size
            reader.expect("GET")
            cuts = sorted(data.draw(st.lists(st.integers(1, len(text)), max_size=5)))
            for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True):
                if a < b:
                    reader.feed(text[a:b])
            self.assertEqual(b"".join(reader.body.take()), bytes([65 + number]) * size)
            self.assertTrue(reader.body.ended)
            self.assertEqual(reader.reusable, not close)
            if close:
                return

    def test_too_much(self) -> None:
        """What a server sends behind a large body is dropped, and the connection is not used again."""
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * BULK)
        reader = read(head, b"x" * BULK, b"x" * BULK + b"HTTP/1.1 200 OK\r\n\r\n")
        self.assertEqual(b"".join(reader.body.take()), b"x" * 2 * BULK)
        self.assertTrue(reader.body.ended)
        self.assertFalse(reader.reusable)


class RepeatedTests(SynchronousTestCase):
    """A server that repeats itself is read as if each response were its first."""

    @settings(max_examples=400)
    @given(st.lists(st.tuples(st.sampled_from(["GET", "GET", "HEAD"]), st.sampled_from(_RESPONSES)), max_size=8))
    def test_like_a_reader_that_remembers_nothing(self, exchanges: list[tuple[str, bytes]]) -> None:
        readers = ResponseReader(), _Forgetful()
        found: list[list[object]] = [[], []]
        busy = False
        for method, data in exchanges:
            for reader, notes in zip(readers, found, strict=True):
                if not busy:
                    reader.informational.clear()
                    reader.expect(method)
                try:
                    reader.feed(data)
                except ExchangeError as error:
                    notes.append(error.reason.code)
                head, body = reader.head, reader.body
                fields = None if head is None else (head.status, head.reason, head.plain, head.content_length)
                notes.append(
                    (fields, body.take(), body.received, body.ended, reader.reusable, len(reader.informational))
                )
            self.assertEqual(found[0], found[1])
            busy = not readers[0].body.ended
            if not readers[0].reusable:
                return

    def test_whole(self) -> None:
        """The body of a repeated response that came whole is there as it came; one that came in pieces is only a body."""
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
        reader = read(head + b"ok")
        self.assertIsNone(reader.whole)
        reader.expect("GET")
        reader.feed(head + b"no")
        self.assertEqual(reader.whole, b"no")
        self.assertEqual((reader.body.take(), reader.body.ended), ([b"no"], True))
        reader.expect("GET")
        reader.feed(head + b"y")
        reader.feed(b"o")
        self.assertIsNone(reader.whole)
        self.assertEqual((b"".join(reader.body.take()), reader.body.ended), (b"yo", True))
