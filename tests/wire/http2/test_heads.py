from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer import errors
from balancer.errors import ExchangeError
from balancer.model.headers import RawHeaders
from balancer.wire.http1 import encode
from balancer.wire.http1.heads import HeadLimits, RequestHead
from balancer.wire.http1.requests import RequestReader
from balancer.wire.http1.responses import ResponseReader
from balancer.wire.http2 import heads
from tests.wire.http2.peers import GET, POST

LIMITS = HeadLimits()


def read(headers: RawHeaders, *, ended: bool = True, limits: HeadLimits = LIMITS) -> RequestHead:
    return heads.request_head(headers, limits, ended=ended)


class RequestHeadTests(SynchronousTestCase):
    def test_a_request(self) -> None:
        """The head has what HTTP/1 has: first line, Host among the fields, what is passed on."""
        head = read(
            [
                *GET,
                (b"accept", b"*/*"),
                (b"te", b"trailers"),
                (b"x-forwarded-for", b"10.0.0.1"),
                (b"x-request-id", b"7"),
            ]
        )
        self.assertEqual(repr(head), "<RequestHead GET / HTTP/2.0>")
        self.assertEqual(head.host, b"shop.example")
        self.assertEqual(head.headers[0], (b"host", b"shop.example"))
        self.assertEqual(len(head.headers), 5)
        self.assertEqual(head.plain, [(b"accept", b"*/*")])
        self.assertEqual(head.forwarding, [(b"x-forwarded-for", b"10.0.0.1")])
        self.assertEqual(
            (head.te_trailers, head.request_id, head.content_length, head.chunked), (True, b"7", None, False)
        )

    def test_bodies(self) -> None:
        """Of a length that was said, or to be sent on in chunks."""
        self.assertEqual(read([*POST, (b"content-length", b"5")], ended=False).content_length, 5)
        head = read(POST, ended=False)
        self.assertEqual((head.content_length, head.chunked), (None, True))
        head = read([*POST, (b"expect", b"100-continue")], ended=False)
        self.assertTrue(head.expect_continue)
        self.assertFalse(read([*POST, (b"expect", b"100-continue")]).expect_continue)

    def test_odd_names_are_dropped(self) -> None:
        """As in HTTP/1: counted, unless they are allowed."""
        head = read([*GET, (b"x_y", b"1"), (b"x.y", b"2")])
        self.assertEqual((head.plain, head.dropped), ([], 2))
        head = read([*GET, (b"x_y", b"1")], limits=HeadLimits(allow_odd_names=frozenset([b"x_y"])))
        self.assertEqual((head.plain, head.dropped), ([(b"x_y", b"1")], 0))

    def test_host_in_place_of_authority(self) -> None:
        """Is the host; both must be the same."""
        without = [pair for pair in GET if pair[0] != b":authority"]
        self.assertEqual(read([*without, (b"host", b"a.example:8080")]).host, b"a.example:8080")
        head = read([*GET, (b"host", b"SHOP.example")])
        self.assertEqual(
            (head.host, [each for each in head.headers if each[0] == b"host"]),
            (b"shop.example", [(b"host", b"shop.example")]),
        )

    def test_extended_connect_is_a_get_that_upgrades(self) -> None:
        """RFC 8441 section 5: whatever its protocol."""
        head = read(
            [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:3], (b":path", b"/chat")], ended=False
        )
        self.assertEqual((head.method, head.target, head.upgrade), ("GET", "/chat", b"websocket"))
        self.assertEqual((head.chunked, head.content_length), (False, None))

    def test_connect(self) -> None:
        """Has the authority for its target."""
        head = read([(b":method", b"CONNECT"), (b":authority", b"a.example:443")], ended=False)
        self.assertEqual(
            (head.method, head.target, head.host, head.upgrade), ("CONNECT", "a.example:443", b"a.example:443", None)
        )
        self.assertFalse(head.chunked)

    def test_what_is_refused(self) -> None:
        """With the status that HTTP/1 gives for it."""
        without = [pair for pair in GET if pair[0] != b":authority"]
        cases: list[tuple[RawHeaders, errors.Reason]] = [
            ([(b":method", b"GET / HTTP/1.1\r\nx:"), *GET[1:]], errors.HTTP_REQUEST_ERROR),
            ([(b":method", b"GE T"), *GET[1:]], errors.HTTP_REQUEST_ERROR),
            ([(b":method", b"A" * 65), *GET[1:]], errors.HTTP_REQUEST_ERROR),
            ([*GET[:3], (b":path", b"/ HTTP/1.1")], errors.HTTP_REQUEST_ERROR),
            ([*GET[:3], (b":path", b"/\xc3\xa4")], errors.HTTP_REQUEST_ERROR),
            ([*GET[:3], (b":path", b"/#x")], errors.HTTP_REQUEST_ERROR),
            ([*GET[:3], (b":path", b"")], errors.HTTP_REQUEST_ERROR),
            ([*GET[:3], (b":path", b"http://other.example/")], errors.HTTP_REQUEST_ERROR),
            ([*GET[:3], (b":path", b"*")], errors.HTTP_REQUEST_ERROR),
            ([*GET[:3], (b":path", b"/" + b"a" * 9000)], errors.HTTP_URI_TOO_LONG),
            (GET[:3], errors.HTTP_REQUEST_ERROR),
            (without, errors.HTTP_REQUEST_ERROR),
            ([*without, (b"host", b"a b")], errors.HTTP_REQUEST_ERROR),
            ([*without, (b"host", b"me@a")], errors.HTTP_REQUEST_ERROR),
            ([*GET, (b"host", b"other.example")], errors.HTTP_REQUEST_ERROR),
            ([*GET, (b"host", b"shop.example"), (b"host", b"shop.example")], errors.HTTP_REQUEST_ERROR),
            ([*GET, (b"x", b"a\r\nb: c")], errors.HTTP_REQUEST_ERROR),
            ([*GET, (b"x", b"a\nb: c")], errors.HTTP_REQUEST_ERROR),
            ([*GET, (b"x", b"a\0")], errors.HTTP_REQUEST_ERROR),
            ([*GET, (b"x: y\r\nz", b"a")], errors.HTTP_REQUEST_ERROR),
            ([*GET, (b"X", b"a")], errors.HTTP_REQUEST_ERROR),
            ([*GET, (b"", b"a")], errors.HTTP_REQUEST_ERROR),
            ([*GET, (b":scheme", b"https")], errors.HTTP_REQUEST_ERROR),
            ([(b"x", b"y"), *GET], errors.HTTP_REQUEST_ERROR),
            ([*GET, (b"transfer-encoding", b"chunked")], errors.HTTP_REQUEST_ERROR),
            ([*GET, (b"connection", b"x-y")], errors.HTTP_REQUEST_ERROR),
            ([*GET, (b"upgrade", b"websocket")], errors.HTTP_REQUEST_ERROR),
            ([*GET, (b"content-length", b"+1")], errors.HTTP_REQUEST_ERROR),
            ([*GET, (b"content-length", b"1")], errors.HTTP_REQUEST_ERROR),
            ([*POST, (b"content-length", b"0"), (b"content-length", b"0")], errors.HTTP_REQUEST_ERROR),
            ([*GET, (b":protocol", b"websocket")], errors.HTTP_REQUEST_ERROR),
            ([(b":protocol", b"websocket"), *GET], errors.HTTP_REQUEST_ERROR),
            ([*GET, (b"expect", b"miracles")], errors.HTTP_EXPECTATION_FAILED),
            ([*GET, (b"x", b"a" * 9000)], errors.HTTP_HEADERS_TOO_LARGE),
            ([*GET, *[(b"x", b"a" * 1000)] * 40], errors.HTTP_HEADERS_TOO_LARGE),
            ([*GET, *[(b"x", b"")] * 200], errors.HTTP_HEADERS_TOO_LARGE),
        ]
        for headers, reason in cases:
            with self.assertRaises(ExchangeError, msg=repr(headers)[:100]) as caught:
                read(headers)
            self.assertEqual(caught.exception.reason, reason, repr(headers)[:200])


class RepeatsTests(SynchronousTestCase):
    def test_the_same_again(self) -> None:
        """Is the same head."""
        reader = heads.RequestHeads(LIMITS)
        first = reader.read([*GET, (b"x", b"y")], True)
        self.assertIs(reader.read([*GET, (b"x", b"y")], True), first)

    def test_another_path(self) -> None:
        """Takes the fields of the one before."""
        reader = heads.RequestHeads(LIMITS)
        first = reader.read([*GET, (b"x", b"y")], True)
        second = reader.read([(b":method", b"HEAD"), *GET[1:3], (b":path", b"/b?c"), (b"x", b"y")], True)
        self.assertEqual((second.method, second.target, second.host), ("HEAD", "/b?c", b"shop.example"))
        self.assertIs(second.plain, first.plain)

    def test_what_differs_is_read(self) -> None:
        """Another host, scheme, field; a body."""
        reader = heads.RequestHeads(LIMITS)
        reader.read(GET, True)
        self.assertEqual(reader.read([*GET[:2], (b":authority", b"b.example"), GET[3]], True).host, b"b.example")
        self.assertEqual(reader.read([*GET, (b"a", b"b")], True).plain, [(b"a", b"b")])
        self.assertTrue(reader.read([*GET, (b"a", b"b")], False).chunked)
        self.assertEqual(reader.read([(b":method", b"CONNECT"), GET[2]], True).method, "CONNECT")

    def test_what_is_refused_stays_refused(self) -> None:
        """A bad path behind a good one."""
        reader = heads.RequestHeads(LIMITS)
        reader.read(GET, True)
        for path in (b"/ b", b"/\n", b"", b"b", b"/" + b"a" * 9000):
            self.assertRaises(ExchangeError, reader.read, [*GET[:3], (b":path", path)], True)
        self.assertRaises(ExchangeError, reader.read, [(b":method", b"G T"), *GET[1:]], True)
        self.assertRaises(ExchangeError, reader.read, [(b":method", b"CONNECT"), *GET[1:]], True)


class ResponseHeadTests(SynchronousTestCase):
    def test_a_response(self) -> None:
        """Status, length, what is passed on."""
        head = heads.response_head([(b":status", b"404"), (b"date", b"now"), (b"content-length", b"3"), (b"x", b"y")])
        self.assertEqual(
            (head.status, head.content_length, head.dated, head.chunked, head.version), (404, 3, True, False, "2.0")
        )
        self.assertEqual(head.plain, [(b"date", b"now"), (b"x", b"y")])
        self.assertTrue(heads.response_head([(b":status", b"200")]).chunked)
        self.assertFalse(heads.response_head([(b":status", b"200")], ended=True).chunked)

    def test_what_is_refused(self) -> None:
        """Is a fault of the server."""
        ok = (b":status", b"200")
        for headers in (
            [],
            [(b":status", b"20")],
            [(b":status", b"2000")],
            [(b"x", b"y"), ok],
            [ok, (b"x", b"a\r\nb: c")],
            [ok, (b"x\n", b"a")],
            [ok, (b"transfer-encoding", b"chunked")],
            [ok, (b"content-length", b"1 ")],
            [ok, (b"content-length", b"1"), (b"content-length", b"1")],
            [ok, (b":path", b"/")],
        ):
            with self.assertRaises(ExchangeError) as caught:
                heads.response_head(headers)
            self.assertEqual(caught.exception.reason, errors.HTTP_PROTOCOL_ERROR)


class FieldsTests(SynchronousTestCase):
    def test_a_request(self) -> None:
        """In lower case, without what is of HTTP/1 only."""
        headers = [
            (b"Accept", b"*/*"),
            (b"Host", b"other"),
            (b"Connection", b"close"),
            (b"Keep-Alive", b"x"),
            (b"Proxy-Connection", b"x"),
            (b"Transfer-Encoding", b"chunked"),
            (b"Upgrade", b"x"),
            (b"HTTP2-Settings", b"x"),
            (b"TE", b"gzip"),
            (b"TE", b"Trailers"),
            (b"x-y", b"z"),
        ]
        self.assertEqual(
            heads.request_fields(b"GET", b"https", b"shop.example", b"/", headers),
            [*GET, (b"accept", b"*/*"), (b"te", b"Trailers"), (b"x-y", b"z")],
        )

    def test_connect(self) -> None:
        """With and without a protocol."""
        self.assertEqual(
            heads.request_fields(b"CONNECT", b"https", b"a:1", b"", []),
            [(b":method", b"CONNECT"), (b":authority", b"a:1")],
        )
        self.assertEqual(
            heads.request_fields(b"GET", b"https", b"shop.example", b"/", [], b"websocket"),
            [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]],
        )

    def test_a_response(self) -> None:
        """Of any status."""
        self.assertEqual(
            heads.response_fields(200, [(b"Date", b"now"), (b"Connection", b"close")]),
            [(b":status", b"200"), (b"date", b"now")],
        )
        self.assertEqual(heads.response_fields(799, []), [(b":status", b"799")])

    def test_round_trip(self) -> None:
        """What was written is read."""
        head = heads.response_head(heads.response_fields(200, [(b"Content-Length", b"5"), (b"X", b"y")]))
        self.assertEqual((head.status, head.content_length, head.plain), (200, 5, [(b"x", b"y")]))


_bytes = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [
            b"/",
            b"/a b",
            b"/\r\n",
            b"*",
            b"GET",
            b"POST",
            b"CONNECT",
            b"https",
            b"shop.example",
            b"a\r\nx: y",
            b"trailers",
            b"5",
            b"0",
        ]
    ),
)
_names = st.one_of(
    st.binary(max_size=8),
    st.sampled_from(
        [
            b":method",
            b":scheme",
            b":path",
            b":authority",
            b":protocol",
            b"host",
            b"content-length",
            b"transfer-encoding",
            b"te",
            b"x",
        ]
    ),
)
_lists = st.one_of(
    st.lists(st.tuples(_names, _bytes), max_size=8),
    st.tuples(_bytes, _bytes, _bytes, _bytes, st.lists(st.tuples(_names, _bytes), max_size=4)).map(
        lambda each: [
            (b":method", each[0]),
            (b":scheme", each[1]),
            (b":authority", each[2]),
            (b":path", each[3]),
            *each[4],
        ]
    ),
)


class InjectionTests(SynchronousTestCase):
    @settings(max_examples=400, deadline=None)
    @given(_lists)
    @example([*GET[:3], (b":path", b"/ HTTP/1.1\r\nx: y\r\n\r\nGET /")])
    @example([*GET, (b"x", b"y")])
    def test_requests(self, headers: RawHeaders) -> None:
        """What is taken is one request in HTTP/1, with these fields and no others; else it is refused."""
        try:
            head = read(headers)
        except ExchangeError:
            return
        if head.method == "CONNECT":
            return
        written = encode.request_head(head.method, head.target, [(b"host", head.host or b""), *head.plain])
        reader = RequestReader(LIMITS)
        reader.feed(written)
        (incoming,) = reader.ready
        self.assertEqual(
            (incoming.head.method, incoming.head.target, incoming.head.host), (head.method, head.target, head.host)
        )
        self.assertEqual(
            [(name, value.strip()) for name, value in incoming.head.plain],
            [(name, value.strip()) for name, value in head.plain],
        )
        self.assertTrue(incoming.body.ended)

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.tuples(_names, _bytes), max_size=6))
    def test_responses(self, headers: RawHeaders) -> None:
        """The same of responses."""
        try:
            head = heads.response_head([(b":status", b"204"), *headers])
        except ExchangeError:
            return
        reader = ResponseReader()
        reader.expect("GET")
        reader.feed(encode.response_head(head.status, None, head.plain, b"\r\n"))
        self.assertEqual(
            [(name, value.strip()) for name, value in reader.head.plain],  # type: ignore[union-attr]
            [(name, value.strip()) for name, value in head.plain],
        )
