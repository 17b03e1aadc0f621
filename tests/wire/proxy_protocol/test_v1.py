"""Writing version 1; reading is tested with the reader."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.address import Peer
from balancer.wire.proxy_protocol import Header, HeaderError, v1

NOBODY = Peer("", 0)


class LineTests(SynchronousTestCase):
    def test_encode(self) -> None:
        """One line of one family; who has no address is unknown."""
        four, six, scoped = Peer("10.0.0.1", 5), Peer("2001:db8::1", 6), Peer("fe80::1%eth0", 7)
        for source, destination, line in (
            (four, Peer("10.0.0.2", 80), b"PROXY TCP4 10.0.0.1 10.0.0.2 5 80\r\n"),
            (six, Peer("::1", 80), b"PROXY TCP6 2001:db8::1 ::1 6 80\r\n"),
            (four, six, b"PROXY TCP6 ::ffff:a00:1 2001:db8::1 5 6\r\n"),
            (six, four, b"PROXY TCP6 2001:db8::1 ::ffff:a00:1 6 5\r\n"),
            (scoped, scoped, b"PROXY TCP6 fe80::1 fe80::1 7 7\r\n"),
            (four, NOBODY, b"PROXY TCP4 10.0.0.1 0.0.0.0 5 0\r\n"),
            (scoped, NOBODY, b"PROXY TCP6 fe80::1 :: 7 0\r\n"),
            (NOBODY, four, b"PROXY UNKNOWN\r\n"),
        ):
            self.assertEqual(v1.encode(source, destination), line)
            self.assertLessEqual(len(line), v1.LONGEST)

    def test_errors_are_short(self) -> None:
        """What is shown of a bad line is not all of it."""
        error = self.assertRaises(HeaderError, v1.parse, b"PROXY " + b"\0" * 90)
        self.assertIn("…", str(error))
        self.assertLess(len(str(error)), 350)

    def test_str(self) -> None:
        self.assertEqual(str(v1.parse(b"PROXY TCP4 10.0.0.1 10.0.0.2 5 80")), "version 1 10.0.0.1:5 to 10.0.0.2:80")
        self.assertEqual(str(Header(1)), "version 1 of an unknown client")
