"""The checksum, against what RFCs and other implementations say."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.wire.proxy_protocol.crc32c import crc32c


class ChecksumTests(SynchronousTestCase):
    def test_vectors(self) -> None:
        """The examples of RFC 3720 appendix B.4, whose bytes are in the other order, and the usual check value."""
        for data, expected in (
            (b"", 0),
            (b"123456789", 0xE3069283),
            (bytes(32), 0x8A9136AA),
            (b"\xff" * 32, 0x62A8AB43),
            (bytes(range(32)), 0x46DD794E),
            (bytes(range(31, -1, -1)), 0x113FDB5C),
        ):
            self.assertEqual(crc32c(data), expected, data)
