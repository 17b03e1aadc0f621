"""Version 2: what is in a header besides the addresses, and writing one."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.address import Peer
from balancer.wire.proxy_protocol import HeaderError, tlvs, v2
from tests.wire.proxy_protocol.headers import FOUR, PATHS, SSL, binary

HERE, THERE, NOBODY = Peer("198.51.100.22", 35646), Peer("203.0.113.7", 443), Peer("", 0)


class BinaryTests(SynchronousTestCase):
    def test_encode(self) -> None:
        """One family; who has no address is LOCAL, which every receiver must take."""
        self.assertEqual(v2.encode(HERE, THERE), binary(0x21, 0x11, FOUR))
        self.assertEqual(v2.encode(NOBODY, THERE), v2.LOCAL)
        self.assertEqual(v2.LOCAL, binary(0x20, 0, b""))
        mixed = v2.encode(HERE, Peer("::1", 443))
        self.assertEqual((mixed[13], len(mixed)), (0x21, 16 + 36))
        self.assertEqual(v2.parse(mixed).source, HERE)

    def test_checksum(self) -> None:
        """One more vector, which a change of any bit contradicts."""
        header = v2.encode(HERE, THERE, [(tlvs.AUTHORITY, b"a.example")], checksum=True)
        self.assertEqual(v2.parse(header).authority, "a.example")
        for place in range(16, len(header) - 7):
            changed = bytearray(header)
            changed[place] ^= 0x10
            self.assertRaises(HeaderError, v2.parse, bytes(changed))

    def test_vectors(self) -> None:
        """Those that are known have names; all are kept, unknown ones too, in order."""
        ssl = tlvs.encode_ssl([*SSL, (0x2F, b"new")], certificate=True)
        given = [
            (tlvs.ALPN, b"h2"),
            (tlvs.AUTHORITY, "bücher.example".encode()),
            (tlvs.NOOP, b""),
            (tlvs.UNIQUE_ID, b"\0\xff"),
            (tlvs.SSL, ssl),
            (tlvs.NETNS, b"blue"),
            (0xE0, b"own"),
        ]
        header = v2.parse(v2.encode(HERE, THERE, given))
        self.assertEqual(header.tlvs, tuple(given))
        self.assertEqual(
            (header.alpn, header.authority, header.unique_id, header.namespace),
            ("h2", "bücher.example", b"\0\xff", "blue"),
        )
        tls = header.tls
        assert tls is not None
        self.assertEqual((tls.encrypted, tls.flags, tls.verify), (True, 7, 0))
        self.assertEqual((tls.version, tls.common_name, tls.cipher), ("TLSv1.3", "alice", "TLS_AES_256_GCM_SHA384"))
        self.assertEqual(tls.tlvs[-1], (0x2F, b"new"))

    def test_without_vectors(self) -> None:
        header = v2.parse(v2.encode(HERE, THERE))
        self.assertEqual(
            (header.alpn, header.authority, header.unique_id, header.namespace, header.tls), ("", "", b"", "", None)
        )

    def test_without_certificate(self) -> None:
        """A client without a certificate is not verified."""
        tls = v2.parse(v2.encode(HERE, THERE, [(tlvs.SSL, tlvs.encode_ssl([]))])).tls
        assert tls is not None
        self.assertEqual((tls.flags, tls.verify, tls.version, tls.common_name), (1, 1, "", ""))

    def test_paths(self) -> None:
        """Unix sockets have paths, and no addresses."""
        header = v2.parse(binary(0x21, 0x31, PATHS + tlvs.encode([(0xE0, b"x")])))
        self.assertEqual((header.paths, header.transport), ((b"/run/client", b"/run/server"), "stream"))
        self.assertEqual((header.source, header.tlvs), (None, ((0xE0, b"x"),)))

    def test_local(self) -> None:
        """Whatever else a LOCAL header says is not looked at."""
        header = v2.parse(binary(0x20, 0x11, FOUR))
        self.assertEqual((header.local, header.source, str(header)), (True, None, "version 2 LOCAL"))

    def test_transports(self) -> None:
        self.assertEqual(v2.parse(binary(0x21, 0x12, FOUR)).transport, "dgram")
        self.assertEqual(v2.parse(binary(0x21, 0x10, FOUR)).transport, "")
