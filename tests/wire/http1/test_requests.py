"""Tests of reading requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer.errors import ExchangeError
from balancer.wire.http1.body import BULK
from balancer.wire.http1.heads import HeadLimits
from balancer.wire.http1.repeats import Known
from balancer.wire.http1.requests import MOST_READY, RequestReader
from tests.wire.http1.ambiguous import AMBIGUOUS, HARMLESS

# Decided once the head is read: the target by the routing, see balancer.model.target.
_BY_TARGET = ("path ", "fragment", "absolute form with", "another scheme", "user in", "asterisk")


def read(
    pieces: Iterable[bytes], limits: HeadLimits | None = None, kind: Callable[..., RequestReader] = RequestReader
) -> list[object]:
    """Return what a reader makes of ``pieces``: method, target, fields and body of each request, and the error's status."""
    reader = kind(limits or HeadLimits())
    found: list[object] = []
    bodies: list[bytes] = []
    try:
        for piece in pieces:
            reader.feed(piece)
    except ExchangeError as error:
        found.append(error.reason.status)
    for incoming in reader.ready:
        body = b"".join(incoming.body.take())
        bodies.append(body)
        head = incoming.head
        found.append(
            (head.method, head.target, head.version, head.plain, body, incoming.body.ended, incoming.body.trailers)
        )
    return found


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


class RequestReaderTests(SynchronousTestCase):
    def test_ambiguous(self) -> None:
        """What could be read in two ways is refused, whole, byte by byte, and at every split."""
        for name, data in AMBIGUOUS.items():
            if name.startswith(_BY_TARGET):
                continue
            status = [each for each in read([data]) if isinstance(each, int)]
            self.assertTrue(status and 400 <= status[0] <= 505, (name, status))
            self.assertTrue(any(isinstance(each, int) for each in read(bytewise(data))), name)
            for at in range(1, len(data)):
                self.assertTrue(any(isinstance(each, int) for each in read([data[:at], data[at:]])), (name, at))

    def test_harmless(self) -> None:
        """What only looks odd is read, and the same at every split."""
        for name, data in HARMLESS.items():
            whole = read([data])
            self.assertEqual(len(whole), 1, name)
            self.assertFalse(isinstance(whole[0], int), (name, whole))
            self.assertEqual(read(bytewise(data)), whole, name)
            for at in range(1, len(data)):
                self.assertEqual(read([data[:at], data[at:]]), whole, (name, at))

    def test_pipelined(self) -> None:
        """Requests that arrive together come out in order, bodies with their own."""
        data = b"".join(HARMLESS[name] for name in ("escapes", "trailer", "CL with zeros", "odd but legal name"))
        found = read([data])
        self.assertEqual([each[4] for each in found], [b"", b"hello", b"hello", b""])  # type: ignore[index]
        self.assertEqual(found[1][6], [(b"X-Sum", b"1")])  # type: ignore[index]
        self.assertEqual(read(bytewise(data)), found)

    def test_pipelined_ambiguous(self) -> None:
        """The second request is looked at as the first is, wherever the pieces end."""
        for first in (HARMLESS["escapes"], HARMLESS["CL with zeros"], HARMLESS["trailer"]):
            for name in ("two blanks", "tab between", "HTTP/1.2", "LF only", "blank in the target", "CL.TE"):
                data = first + AMBIGUOUS[name]
                for at in range(0, len(data)):
                    found = read([data[:at], data[at:]])
                    self.assertEqual(len([each for each in found if isinstance(each, int)]), 1, (name, at, found))

    def test_unknown_method(self) -> None:
        """A method nobody knows is read, pipelined too."""
        data = b"FROB / HTTP/1.1\r\nHost: a\r\n\r\n"
        for at in range(len(data) * 2):
            found = read([(data * 2)[:at], (data * 2)[at:]])
            self.assertEqual([each[0] for each in found], ["FROB", "FROB"], at)  # type: ignore[index]

    def test_nothing_after_close(self) -> None:
        """What follows a request that asked for close is not read."""
        data = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
        self.assertEqual(len(read([data])), 1)

    def test_upgrade_holds(self) -> None:
        """Bytes behind an upgrade wait, and are read as HTTP if nothing comes of it."""
        reader = RequestReader(HeadLimits())
        reader.feed(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nGET /2 HTTP/1.1\r\nHo")
        reader.feed(b"st: a\r\n\r\n")
        self.assertEqual(len(reader.ready), 1)
        self.assertEqual(reader.held, b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        reader.resume()
        self.assertEqual([incoming.head.target for incoming in reader.ready], ["/", "/2"])

    def test_a_flood(self) -> None:
        """Of many requests in a row a few are read at a time; all come, in order, however they are cut."""
        flood = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(500))
        for size in (len(flood), 1000, 7):
            reader = RequestReader(HeadLimits())
            targets: list[str] = []
            for at in range(0, len(flood), size):
                reader.feed(flood[at : at + size])
                self.assertLessEqual(len(reader.ready), MOST_READY + 1)
                if len(reader.ready) >= MOST_READY:
                    targets += [reader.ready.pop(0).head.target for _ in range(len(reader.ready))]
            while reader.ready or reader.more:
                targets += [reader.ready.pop(0).head.target for _ in range(len(reader.ready))]
                if reader.more:
                    reader.resume()
            self.assertEqual(targets, [f"/{number}" for number in range(500)])

    def test_forgetting(self) -> None:
        """Between requests everything may be let go of, inside one nothing is."""
        reader = RequestReader(HeadLimits())
        request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        for at in range(len(request)):
            reader.forget()
            reader.feed(request[:at])
            reader.forget()
            reader.feed(request[at:])
        reader.forget()
        reader.feed(request)
        self.assertEqual([each.head.target for each in reader.ready], ["/"] * (len(request) + 1))

    def test_h2c_is_ignored(self) -> None:
        """An upgrade to h2c is not offered on, nor does one with a body hold anything."""
        reader = RequestReader(HeadLimits())
        reader.feed(
            b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nokGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        reader.feed(
            b"GET /3 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        self.assertEqual([incoming.head.target for incoming in reader.ready], ["/", "/2", "/3", "/4"])
        self.assertEqual([incoming.head.upgrade for incoming in reader.ready], [None] * 4)

    def test_limits(self) -> None:
        """A target, a field, a head past its limit is refused while it arrives; so are trailers and chunk extensions."""
        chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        for start, endless, status in (
            (b"GET /", b"a", 414),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"a", 431),
            (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: a\r\n", 431),
            (chunked + b"5;", b"x", 431),
            (chunked + b"0\r\nX: ", b"x", 431),
            (chunked + b"0\r\n", b"X: y\r\n", 431),
        ):
            reader = RequestReader(HeadLimits())
            fed = 0
            with self.assertRaises(ExchangeError) as caught:
                reader.feed(start)
                while fed < 1_000_000:
                    reader.feed(endless * 100)
                    fed += len(endless) * 100
            self.assertEqual(caught.exception.reason.status, status)
            self.assertLess(fed, 100_000)

    def test_trailers_route_nothing(self) -> None:
        """Fields that frame, route or forward are dropped from trailers."""
        data = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\nX-Forwarded-For: c\r\nX: d\r\n\r\n"
        self.assertEqual(read([data])[0][6], [(b"X", b"d")])  # type: ignore[index]

    @given(st.lists(st.binary(max_size=200), max_size=10))
    @example([b"\x16", b"A A HTTP/9.9\r\n"])
    @settings(max_examples=200, deadline=None)
    def test_noise(self, pieces: list[bytes]) -> None:
        """Random bytes raise nothing but the documented error, and are the same however they are split."""
        self.assertEqual(read(pieces), read([b"".join(pieces)]) if pieces else [])

    @given(st.data())
    @settings(max_examples=100, deadline=None)
    def test_any_split(self, data: st.DataObject) -> None:
        """Valid requests are read alike in any pieces."""
        names = data.draw(st.lists(st.sampled_from(sorted(HARMLESS)), min_size=1, max_size=3))
        text = b"".join(HARMLESS[name] for name in names if not name.startswith("HTTP/1.0"))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        self.assertEqual(read(pieces), read([text]))


_PIECES = (
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /b?c HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: 1.2.3.4\r\nTE: trailers\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
    b"PURGE / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n",
    b"z",
    b"zzGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxyGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nxy",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"Host: a\r\n\r\n",
    b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHos",
    b"t: a\r\n\r\n",
)


_CERTIFIED = (
    b"GET / HTTP/1.1\r\nHost: a\r\nX-Client-Cert-Subject: CN=admin\r\nAccept: */*\r\nclient-CERT: :AA==:\r\n"
    b"X_Client_Cert_Subject: CN=admin\r\nX-Client.Cert-SAN: DNS:a\r\nConnection: X-Client-Cert-Subject\r\n\r\n"
)


class ClientCertificateTests(SynchronousTestCase):
    """What clients say of certificates themselves."""

    def _names(self, limits: HeadLimits, data: bytes = _CERTIFIED) -> tuple[list[bytes], list[bytes]]:
        reader = RequestReader(limits)
        reader.feed(data)
        head = reader.ready[-1].head
        return [name for name, _ in head.plain], [name for name, _ in head.headers]

    def test_ours_to_say(self) -> None:
        """Where it is ours to say, nothing of it is left, in any spelling; not for servers, and not for matchers either."""
        odd = frozenset([b"x_client_cert_subject", b"x-client.cert-san"])
        for limits in (
            HeadLimits(own_client_certificates=True),
            HeadLimits(own_client_certificates=True, allow_odd_names=odd),
        ):
            for data in (_CERTIFIED, _CERTIFIED * 3):
                self.assertEqual(self._names(limits, data), ([b"Accept"], [b"Host", b"Accept", b"Connection"]))

    def test_not_ours(self) -> None:
        """Elsewhere these are fields like any other."""
        self.assertEqual(self._names(HeadLimits())[0], [b"Accept", b"client-CERT"])
        self.assertEqual(len(self._names(HeadLimits())[1]), 7)
        odd = HeadLimits(allow_odd_names=frozenset([b"x_client_cert_subject"]))
        self.assertEqual(self._names(odd)[0], [b"Accept", b"client-CERT", b"X_Client_Cert_Subject"])

    def test_from_now_on(self) -> None:
        """New limits hold for what is read already too, and for what repeats it."""
        reader = RequestReader(HeadLimits())
        reader.feed(_CERTIFIED * 2)
        first = reader.ready.pop(0)
        reader.use(HeadLimits(own_client_certificates=True), first)
        reader.feed(_CERTIFIED)
        for incoming in (first, *reader.ready):
            self.assertEqual([name for name, _ in incoming.head.plain], [b"Accept"])
            self.assertIsNone(incoming.head.block)


class KnownTests(SynchronousTestCase):
    """What connections begin with, where another has begun so."""

    @given(st.lists(st.lists(st.sampled_from(_PIECES), max_size=4), max_size=6))
    @settings(max_examples=300, deadline=None)
    def test_the_same(self, connections: list[list[bytes]]) -> None:
        """Connections that share what they know read what they would read alone."""
        kind = partial(RequestReader, known=Known())
        for pieces in connections * 2:
            self.assertEqual(read(pieces, kind=kind), read(pieces))

    def test_ambiguous(self) -> None:
        """Nothing that is refused is known."""
        kind = partial(RequestReader, known=Known())
        for data in AMBIGUOUS.values():
            self.assertEqual([read([data], kind=kind) for _ in range(3)], [read([data])] * 3)

    def test_not_read_again(self) -> None:
        """The request is the same object; one with a body, a large one and a second one are not."""
        known = Known()
        short = _PIECES[0]
        large = b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"x" * 3000)

        def last(*pieces: bytes) -> object:
            reader = RequestReader(HeadLimits(), known)
            for piece in pieces:
                reader.feed(piece)
            return reader.ready[-1].head

        self.assertIs(last(short), last(short))
        self.assertIs(last(_PIECES[3]), last(_PIECES[3]))
        for pieces in ([_PIECES[6]], [large], [_PIECES[1], _PIECES[2]], [short, _PIECES[1]]):
            self.assertIsNot(last(*pieces), last(*pieces), pieces)

    def test_bounded(self) -> None:
        """However many there are, few are kept."""
        known = Known()
        for number in range(2000):
            RequestReader(HeadLimits(), known).feed(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        kept = [known.get(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number) for number in range(2000)]
        self.assertLessEqual(sum(each is not None for each in kept), 256)
        self.assertIsNotNone(kept[-1])


class _Forgetful(RequestReader):
    __slots__ = ()

    def feed(self, data: bytes) -> None:
        self._last = None
        super().feed(data)


class LargeBodyTests(SynchronousTestCase):
    """A body that is counted instead of parsed is the same body, and what follows it is read."""

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.integers(0, 3 * BULK), min_size=1, max_size=4), st.data())
    def test_any_split(self, sizes: list[int], data: st.DataObject) -> None:
        text = b"".join(
            b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b"
            % (number, size, bytes([65 + number]) * size)
            for number, size in enumerate(sizes)
        )
        text += b"GET /end HTTP/1.1\r\nHost: a\r\n\r\n"
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
        reader = RequestReader(HeadLimits())
        for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True):
            reader.feed(text[a:b])
        found = [(each.head.target, b"".join(each.body.take()), each.body.ended) for each in reader.ready]
        expected = [(f"/{number}", bytes([65 + number]) * size, True) for number, size in enumerate(sizes)]
        self.assertEqual(found, [*expected, ("/end", b"", True)])

    def test_nonsense_behind(self) -> None:
        """What follows a large body and is no request is refused as ever."""
        reader = RequestReader(HeadLimits())
        reader.feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (2 * BULK))
        reader.feed(b"x" * BULK)
        self.assertRaises(ExchangeError, reader.feed, b"x" * BULK + b"smuggled\r\n\r\n")
        self.assertTrue(reader.ready[0].body.ended)


class RepeatedTests(SynchronousTestCase):
    """A client that repeats itself is read as if each request were its first."""

    @settings(max_examples=1000)
    @given(st.lists(st.sampled_from(_PIECES), min_size=1, max_size=8))
    def test_like_a_reader_that_remembers_nothing(self, pieces: list[bytes]) -> None:
        self.assertEqual(read(pieces), read(pieces, kind=_Forgetful))

    def test_unknown_method_with_bad_fields(self) -> None:
        """What is wrong with the fields of a request is said, whatever its method."""
        self.assertEqual(read([b"ET / HTTP/1.1\r\n\r\n"]), [400])

    def test_limits_hold(self) -> None:
        """A longer target with known fields is still too long."""
        limits = HeadLimits(uri_size=10)
        self.assertEqual(read([_PIECES[0], b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * 20)], limits)[0], 414)
        limits = HeadLimits(head_size=60)
        self.assertEqual(read([_PIECES[0], b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"x" * 60)], limits)[0], 431)
