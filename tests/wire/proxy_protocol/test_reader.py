"""Reading a header, in whatever pieces it comes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer.model.address import Peer
from balancer.wire.proxy_protocol import Header, HeaderError, NoHeaderError, Reader, v1, v2
from balancer.wire.proxy_protocol.errors import REASONS
from tests.wire.proxy_protocol.headers import BAD, GOOD

REST = b"GET / HTTP/1.1\r\n\r\n"


def fed(*pieces: bytes) -> tuple[Header | str, bytes]:
    """Feed the pieces until there is an outcome; return that, and what is left of all."""
    reader = Reader()
    left = list(pieces)
    outcome: Header | str | None = None
    while left and outcome is None:
        try:
            outcome = reader.feed(left.pop(0))
        except HeaderError as error:
            outcome = f"{error.reason}: {error}"
    return outcome or "more", reader.rest + b"".join(left)


class ReaderTests(SynchronousTestCase):
    def test_good(self) -> None:
        """Each header is read, however it is cut in two, and byte by byte; what comes behind it is left."""
        for name, (data, source, destination) in GOOD.items():
            whole = fed(data + REST)
            header, rest = whole
            assert isinstance(header, Header), (name, header)
            self.assertEqual((str(header.source), str(header.destination), rest), (source, destination, REST), name)
            self.assertEqual(fed(data), (header, b""), name)
            long = data + REST
            places = range(1, len(long)) if len(long) < 1000 else (1, 11, 12, 13, 15, 16, 17, 100, len(data) - 1)
            for at in places:
                self.assertEqual(fed(long[:at], long[at:]), whole, (name, at))
            self.assertEqual(fed(*(long[at : at + 1] for at in range(len(long)))), whole, name)

    def test_incomplete(self) -> None:
        """As long as one byte is missing, more is awaited."""
        for name, (data, _, _) in GOOD.items():
            for end in range(min(len(data), 300)):
                self.assertEqual(fed(data[:end]), ("more", data[:end]), (name, end))

    def test_bad(self) -> None:
        """Each bad header is refused for the same reason in the same words, however it is cut."""
        for name, (data, reason) in BAD.items():
            whole, _ = fed(data)
            self.assertTrue(str(whole).startswith(f"{reason}: "), (name, whole))
            self.assertIn(reason, REASONS)
            for at in range(1, len(data)):
                self.assertEqual(fed(data[:at], data[at:])[0], whole, (name, at))
            self.assertEqual(fed(*(data[at : at + 1] for at in range(len(data))))[0], whole, name)

    def test_begun(self) -> None:
        """From the space of version 1, or the end of version 2's signature, only a header can follow."""
        for beginning in (v1.BEGINNING, v2.SIGNATURE):
            reader = Reader()
            self.assertIsNone(reader.feed(beginning[:-1]))
            self.assertFalse(reader.begun)
            self.assertIsNone(reader.feed(beginning[-1:]))
            self.assertTrue(reader.begun)

    def test_something_else(self) -> None:
        """What is no header is all there to be used otherwise."""
        reader = Reader()
        self.assertIsNone(reader.feed(b"PRO"))
        self.assertRaises(NoHeaderError, reader.feed, b"PFIND / HTTP/1.1\r\n")
        self.assertEqual((reader.rest, reader.begun), (b"PROPFIND / HTTP/1.1\r\n", False))

    def test_repr(self) -> None:
        reader = Reader()
        reader.feed(b"PROXY T")
        self.assertEqual(repr(reader), "<Reader begun, 7 bytes>")

    @given(st.data())
    def test_round_trip(self, data: st.DataObject) -> None:
        """What is written is read, in any pieces: both versions, any addresses, any vectors, with checksum and without."""
        family = data.draw(st.sampled_from((4, 6)))
        hosts = st.ip_addresses(v=family).filter(lambda ip: getattr(ip, "ipv4_mapped", None) is None).map(str)
        ports = st.integers(0, 65535)
        source, destination = (Peer(data.draw(hosts), data.draw(ports)) for _ in range(2))
        vectors = data.draw(
            st.lists(
                st.tuples(st.integers(0, 255).filter(lambda kind: kind not in (3, 5, 0x20)), st.binary(max_size=300)),
                max_size=5,
            )
        )
        checksum = data.draw(st.booleans())
        if data.draw(st.booleans()):
            written, version, kept = v1.encode(source, destination), 1, ()
        else:
            written, version = v2.encode(source, destination, vectors, checksum=checksum), 2
            kept = tuple(vectors)
        rest = data.draw(st.binary(max_size=50))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(written + rest)), max_size=6)))
        pieces = [(written + rest)[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
        header, left = fed(*pieces)
        assert isinstance(header, Header)
        self.assertEqual((header.version, header.source, header.destination), (version, source, destination))
        self.assertEqual((header.transport, header.local, left), ("stream", False, rest))
        told = header.tlvs[:-1] if checksum and version == 2 else header.tlvs
        self.assertEqual(told, kept)
