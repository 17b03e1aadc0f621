"""The ClientHello, read from the first bytes of a connection."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer.wire.client_hello import UNRECOGNIZED_NAME, ClientHello, HelloReader, Verdict, alert
from tests.wire.hellos import HELLOS


def vector(size: int, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return len(data).to_bytes(size, "big") + data


def extension(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2, "big") + vector(2, data)


def server_name(*names: bytes, kind: int = 0) -> bytes:
    return extension(0, vector(2, *(bytes([kind]) + vector(2, name) for name in names)))


def protocols(*names: bytes) -> bytes:
    return extension(16, vector(2, *(vector(1, name) for name in names)))


def versions(*offered: int) -> bytes:
    return extension(43, vector(1, *(version.to_bytes(2, "big") for version in offered)))


def message(
    *extensions: bytes,
    version: int = 0x0303,
    session: bytes = b"",
    suites: bytes = b"\x13\x01",
    compression: bytes = b"\0",
    bare: bool = False,
    after: bytes = b"",
    kind: int = 1,
) -> bytes:
    """Return the handshake message of a hello; ``bare`` is one without any list of extensions."""
    body = version.to_bytes(2, "big") + bytes(32) + vector(1, session) + vector(2, suites) + vector(1, compression)
    body += (b"" if bare else vector(2, *extensions)) + after
    return bytes([kind]) + vector(3, body)


def records(data: bytes, *sizes: int, version: int = 0x0301) -> bytes:
    """Return ``data`` in records of these sizes, the rest in one more (or in as many as it takes)."""
    found, at = b"", 0
    for size in (*sizes, *[16384] * (len(data) // 16384 + 1)):
        piece = data[at : at + size]
        at += len(piece)
        if piece:
            found += b"\x16" + version.to_bytes(2, "big") + vector(2, piece)
    return found


def read(*pieces: bytes, limit: int = 16384) -> HelloReader:
    reader = HelloReader(limit)
    for piece in pieces:
        reader.feed(piece)
    return reader


def said(reader: HelloReader) -> tuple[object, ...]:
    return reader.verdict, reader.hello, reader.detail, reader.size


PLAIN = records(message(server_name(b"shop.example"), protocols(b"h2", b"http/1.1"), versions(0x0304, 0x0303)))
SAMPLES = {
    **HELLOS,
    "plain": PLAIN,
    "followed": PLAIN + b"\x16\x03\x03\0\x01\x01",
    "with another message": records(message(server_name(b"a.example")) + message(server_name(b"b.example"))),
    "two extensions": records(message(server_name(b"a"), server_name(b"b"))),
    "cut short": records(message(extension(0, b"\0\x05abc"))),
    "not TLS": b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n",
    "not quite TLS": b"\x16\x04\x01\0\x05hello",
    "another message": records(message(kind=2)),
    "an alert inside": records(message())[:20] + b"\x15\x03\x01\0\x02\x02\x28",
    "an empty record": b"\x16\x03\x01\0\0" + PLAIN,
    "a long record": b"\x16\x03\x01\x40\x01" + bytes(20),
    "SSL 2.0": bytes.fromhex("802e0100020015000000100100800700c0030080060040020080040080"),
    "SSL 2.0, of a later client": bytes.fromhex("806701030100") + bytes(90),
    "MQTT's answer": b"\x90\x03\0\x01\0",
    "like SSL 2.0": b"\x80\x2e\x01\0\x05",
    "too large": b"\x16\x03\x01\x40\0\x01\0\x40\0" + bytes(16384),
}


class VerdictTests(SynchronousTestCase):
    """What bytes turn out to be."""

    def test_real_clients(self) -> None:
        """The hellos of real clients say what those were told to ask for."""
        hellos = {name: read(data).hello for name, data in HELLOS.items()}
        self.assertEqual(
            {name: hello and (hello.server_name, hello.versions[0]) for name, hello in hellos.items()},
            {
                "openssl": ("openssl.example.org", "TLSv1.3"),
                "openssl_tls_1_2": ("old.example.org", "TLSv1.2"),
                "openssl_tls_1_0": ("older.example.org", "TLSv1"),
                "openssl_without_name": ("", "TLSv1.3"),
                "openssl_many_protocols": ("many.example.org", "TLSv1.3"),
                "openssl_short_records": ("short.example.org", "TLSv1.3"),
                "curl": ("curl.example.org", "TLSv1.3"),
                "python": ("python.example.org", "TLSv1.3"),
                "chromium": ("chromium.example.org", "TLSv1.3"),
            },
        )
        for name in ("openssl", "curl", "python", "chromium"):
            self.assertEqual(hellos[name] and hellos[name].alpn, ("h2", "http/1.1"), name)
        many = hellos["openssl_many_protocols"]
        self.assertEqual(many and many.alpn, tuple(f"protocol-{number:03}" for number in range(400)))
        self.assertEqual([name for name, hello in hellos.items() if hello and hello.ech], ["chromium"])

    def test_values(self) -> None:
        """Name, protocols and versions, in the client's order; the name in lower case, without a final dot."""
        hello = read(PLAIN).hello
        self.assertEqual(hello, ClientHello("shop.example", ("h2", "http/1.1"), ("TLSv1.3", "TLSv1.2")))
        for sent, name in (
            (b"WWW.Shop.Example.", "www.shop.example"),
            (b"xn--bcher-kva.example", "xn--bcher-kva.example"),
            (b"_dmarc.under_score.example", "_dmarc.under_score.example"),
            (b"192.0.2.1", "192.0.2.1"),
        ):
            self.assertEqual(read(records(message(server_name(sent)))).hello, ClientHello(name, (), ("TLSv1.2",)))

    def test_less(self) -> None:
        """A hello need not have extensions, nor a name, nor protocols; other kinds of names are passed over."""
        for version, name in ((0x0300, "SSLv3"), (0x0301, "TLSv1"), (0x0302, "TLSv1.1"), (0x0303, "TLSv1.2")):
            for bare in (True, False):
                for record in range(0x0300, 0x0305):
                    data = records(message(version=version, bare=bare), version=record)
                    self.assertEqual(read(data).hello, ClientHello("", (), (name,)))
        both = extension(0, vector(2, b"\x07" + vector(2, b"\xff\0"), b"\0" + vector(2, b"a.example")))
        found = read(records(message(both))).hello
        self.assertEqual(found and found.server_name, "a.example")

    def test_grease(self) -> None:
        """What is there to keep servers tolerant is passed over, wherever it stands."""
        data = message(
            extension(0x0A0A, b""),
            versions(0x5A5A, 0x0304, 0x0303),
            protocols(b"\xca\xca", b"h2"),
            server_name(b"a.example"),
            extension(0xFE0D, b"\0" * 40),
            extension(21, bytes(300)),
            extension(0xFAFA, b"\0"),
            suites=b"\x1a\x1a\x13\x01",
        )
        expected = ClientHello("a.example", ("h2",), ("TLSv1.3", "TLSv1.2"), ech=True)
        self.assertEqual(read(records(data)).hello, expected)
        self.assertEqual(read(records(message(protocols(b"\x0a\x0a")))).hello, ClientHello("", (), ("TLSv1.2",)))

    def test_not_tls(self) -> None:
        """Another protocol is known by its first byte; one that begins like TLS or SSL 2.0 as soon as it differs."""
        for data, enough in (
            (b"GET / HTTP/1.1\r\n", 1),
            (b"SSH-2.0-x\r\n", 1),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", 1),
            (b"\x15\x03\x01\0\x02\x02\x28", 1),
            (b"\x17\x03\x03\0\x01x", 1),
            (b"\x16\x04\x01\0\x05", 2),
            (b"\x90\x03\0\x01\0", 3),
            (b"\x80\x2e\x01\x01\x02", 4),
            (b"\x80\x2e\x01\0\x05", 5),
        ):
            self.assertEqual(read(data[: enough - 1]).verdict, Verdict.UNDECIDED, data)
            self.assertEqual(said(read(data)), (Verdict.NOT_TLS, None, "", enough), data)

    def test_malformed(self) -> None:
        """What began as TLS and is none says what is wrong."""
        name = server_name(b"a.example")
        for data, detail in (
            (SAMPLES["SSL 2.0"], "an SSL 2.0 hello"),
            (SAMPLES["SSL 2.0, of a later client"], "an SSL 2.0 hello"),
            (SAMPLES["an empty record"], "a record of 0 bytes"),
            (SAMPLES["a long record"], "a record of 16385 bytes"),
            (SAMPLES["another message"], "a handshake message of type 2 where a hello belongs"),
            (
                records(message(), 10)[:15] + b"\x15\x03\x01\0\x02\x02\x28",
                "a record of type 21 in the middle of the hello",
            ),
            (records(message(), 10)[:15] + b"\x16\x02\x01\0\x02", "a record of version 2.1 in the middle of the hello"),
            (records(b"\x01\0\0\0"), "the hello is cut short"),
            (records(message(version=0x0203)), "a hello of version 2.3"),
            (records(message(session=bytes(33))), "a session id of more than 32 bytes"),
            (records(message(suites=b"")), "no list of cipher suites"),
            (records(message(suites=b"\x13")), "no list of cipher suites"),
            (records(message(compression=b"")), "no list of compression methods"),
            (records(message(after=b"\0")), "the hello is longer than what is in it"),
            (records(message(name, name)), "extension 0 twice"),
            (records(message(b"\0\0\0")), "the list of extensions is cut short"),
            (records(message(b"\0\0\0\x05abcd")), "the list of extensions is cut short"),
            (records(message(server_name(b"a", b"b"))), "two server names"),
            (records(message(server_name())), "a list of server names without one"),
            (records(message(server_name(b"a", kind=3))), "a list of server names without one"),
            (records(message(extension(0, b""))), "the extension server_name is cut short"),
            (records(message(extension(0, b"\0\0x"))), "the extension server_name is longer than what is in it"),
            (records(message(extension(16, b"\0\0"))), "an empty list of protocols"),
            (records(message(protocols(b"h2", b""))), "a protocol without a name"),
            (records(message(extension(16, b"\0\x03\x05h2"))), "the list of protocols is cut short"),
            (records(message(extension(43, b"\x01\x03"))), "the list of versions is cut short"),
        ):
            reader = read(data)
            self.assertEqual((reader.verdict, reader.detail), (Verdict.MALFORMED, detail), data)
        for bad in (
            b"",
            b".",
            b"a..b",
            b"a b",
            b"a\0b",
            b"\xc3\xa9.example",
            b"[::1]",
            b"a" * 64,
            b"a.example..",
            b"a" * 60 + b".b" * 100,
            b'a"b',
            b"a\n",
        ):
            reader = read(records(message(server_name(bad))))
            self.assertEqual(
                (reader.verdict, reader.detail), (Verdict.MALFORMED, "a server name that is no host name"), bad
            )

    def test_limit(self) -> None:
        """A hello must be complete within the limit; one that says it is longer is not waited for."""
        big = message(extension(21, bytes(20000)))
        for data in (records(big), records(big)[:100]):
            reader = read(data)
            self.assertEqual((reader.verdict, reader.size), (Verdict.TOO_LARGE, 9))
            self.assertEqual(reader.detail, f"{len(big)} bytes, more than fit into 16384")
        self.assertEqual(read(records(big), limit=65536).verdict, Verdict.HELLO)
        crumbs = records(message(server_name(b"a.example")), *[1] * 60)
        self.assertEqual(read(crumbs, limit=len(crumbs)).verdict, Verdict.HELLO)
        short = read(crumbs, limit=len(crumbs) - 1)
        self.assertEqual((short.verdict, short.size), (Verdict.TOO_LARGE, len(crumbs) - 1))
        self.assertEqual(short.detail, f"not complete within {len(crumbs) - 1} bytes")

    def test_final(self) -> None:
        """What comes after the verdict is not looked at."""
        reader = read(PLAIN, PLAIN, b"junk")
        self.assertEqual((reader.verdict, reader.size), (Verdict.HELLO, len(PLAIN)))
        self.assertEqual(repr(reader), f"<HelloReader hello, {len(PLAIN)} bytes>")
        self.assertEqual(repr(read(b"\x16\x03\x01\0\0")), "<HelloReader malformed, 5 bytes: a record of 0 bytes>")


class SplitTests(SynchronousTestCase):
    """However the bytes come."""

    def test_every_split(self) -> None:
        """Byte by byte, and cut in two anywhere, the outcome is that of the whole."""
        for name, data in SAMPLES.items():
            whole = said(read(data))
            self.assertEqual(said(read(*(data[at : at + 1] for at in range(len(data))))), whole, name)
            for at in range(0, len(data), max(1, len(data) // 600)):
                self.assertEqual(said(read(data[:at], data[at:])), whole, (name, at))

    def test_record_boundaries(self) -> None:
        """The same hello in one record, in records of a byte each, or cut in two anywhere."""
        hello = message(server_name(b"shop.example"), protocols(b"h2"), versions(0x0304))
        expected = ClientHello("shop.example", ("h2",), ("TLSv1.3",))
        for sizes in ([1] * len(hello), *([at] for at in range(1, len(hello)))):
            self.assertEqual(read(records(hello, *sizes)).hello, expected)

    @settings(max_examples=200, deadline=None)
    @given(st.sampled_from(sorted(SAMPLES)), st.data())
    def test_splits_at_random(self, name: str, data: st.DataObject) -> None:
        """Cut into any number of pieces, with any limit."""
        sample = SAMPLES[name]
        limit = data.draw(st.one_of(st.just(16384), st.integers(1, len(sample) + 5)))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(sample)), max_size=30)))
        pieces = [sample[a:b] for a, b in zip([0, *cuts], [*cuts, len(sample)], strict=True)]
        self.assertEqual(said(read(*pieces, limit=limit)), said(read(sample, limit=limit)))


_LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=20)


class PropertyTests(SynchronousTestCase):
    """Hellos of every kind."""

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(_LABEL, min_size=1, max_size=6).map(".".join),
        st.lists(st.binary(min_size=3, max_size=40), max_size=20),
        st.lists(st.sampled_from([0x0301, 0x0302, 0x0303, 0x0304, 0x1A1A]), max_size=6),
        st.lists(
            st.tuples(st.integers(1000, 60000), st.binary(max_size=80)), max_size=10, unique_by=lambda each: each[0]
        ),
        st.lists(st.integers(1, 200), max_size=20),
        st.binary(max_size=32),
    )
    def test_round_trip(
        self,
        name: str,
        offered: Sequence[bytes],
        wanted: Sequence[int],
        others: Sequence[tuple[int, bytes]],
        sizes: Sequence[int],
        session: bytes,
    ) -> None:
        """What was written is read, in any records, between any other extensions."""
        parts = [server_name(name.upper().encode()), versions(*wanted), *(extension(*other) for other in others)]
        parts += [protocols(*offered)] if offered else []
        random.Random(len(others)).shuffle(parts)
        hello = read(records(message(*parts, session=session), *sizes)).hello
        assert hello is not None
        self.assertEqual(hello.server_name, name)
        self.assertEqual([each.encode("latin-1") for each in hello.alpn], list(offered))
        known = {0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
        self.assertEqual(list(hello.versions), [known[each] for each in wanted if each in known])

    @settings(max_examples=300, deadline=None)
    @given(st.sampled_from(sorted(SAMPLES)), st.randoms(use_true_random=False))
    def test_damage(self, name: str, draw: random.Random) -> None:
        """Bytes changed, lost or added anywhere: a verdict or none yet, never anything else, and the same split."""
        data = bytearray(SAMPLES[name][:3000])
        for _ in range(draw.randrange(1, 6)):
            at = draw.randrange(len(data))
            match draw.randrange(3):
                case 0:
                    data[at] = draw.randrange(256)
                case 1:
                    del data[at]
                case _:
                    data.insert(at, draw.randrange(256))
        whole = read(bytes(data))
        if whole.verdict is Verdict.HELLO:
            self.assertIsNotNone(whole.hello)
        self.assertEqual(said(read(*(bytes([byte]) for byte in data))), said(whole))

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=200))
    def test_noise(self, noise: bytes) -> None:
        """Any bytes after the beginning of a record, and of a hello."""
        for begin in (b"", b"\x16\x03\x01\0\x80", b"\x16\x03\x01\0\x80\x01\0\0\x60\x03\x03"):
            self.assertIn(read(begin + noise).verdict, Verdict)


class AlertTests(SynchronousTestCase):
    """What a client is told."""

    def test_alert(self) -> None:
        """A fatal alert in a record of a version that the client knows."""
        for offered, version in (
            ((), 3),
            (("TLSv1.3", "TLSv1.2"), 3),
            (("TLSv1.1", "TLSv1"), 2),
            (("TLSv1",), 1),
            (("SSLv3",), 0),
        ):
            expected = bytes((21, 3, version, 0, 2, 2, 112))
            self.assertEqual(alert(UNRECOGNIZED_NAME, ClientHello(versions=offered)), expected)
        self.assertEqual(alert(UNRECOGNIZED_NAME), bytes((21, 3, 3, 0, 2, 2, 112)))
