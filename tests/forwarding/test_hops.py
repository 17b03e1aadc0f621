"""Tests of methods that mean something to a proxy."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.errors import ExchangeError
from balancer.forwarding.hops import ALLOWED, hop
from balancer.model.exchange import Reply
from balancer.wire.http1.heads import RequestHead


def _head(method: str, *values: bytes) -> RequestHead:
    head = RequestHead(method, "/", "1.1", [])
    head.plain = [(b"X", b"y"), *((b"max-Forwards", value) for value in values)]
    head.block = b"block"
    head.frame = (None, b"", b"", b"")
    head.content_length = 3
    return head


class HopTests(SynchronousTestCase):
    def test_counted(self) -> None:
        """OPTIONS goes on with one hop less, in a head of its own; all else is as it was."""
        head = _head("OPTIONS", b"7 ")
        counted = hop(head)
        assert isinstance(counted, RequestHead)
        self.assertEqual(counted.plain, [(b"X", b"y"), (b"max-Forwards", b"6")])
        self.assertEqual((counted.block, counted.frame, counted.content_length), (None, None, 3))
        self.assertEqual((head.plain[1], head.block), ((b"max-Forwards", b"7 "), b"block"))

    def test_the_last_hop(self) -> None:
        """At 0 it is answered here."""
        self.assertEqual(hop(_head("OPTIONS", b"0")), Reply(200, ((b"Allow", ALLOWED),), b""))

    def test_without(self) -> None:
        """One without is left alone."""
        head = _head("OPTIONS")
        self.assertIs(hop(head), head)

    def test_no_number(self) -> None:
        """What is no number, or stands there twice, is refused."""
        for values in ([b"-1"], [b""], [b"x"], [b"1", b"1"], [b"1" * 20]):
            with self.assertRaises(ExchangeError) as caught:
                hop(_head("OPTIONS", *values))
            self.assertEqual(caught.exception.reason.status, 400)

    def test_refused(self) -> None:
        """CONNECT and TRACE are refused, whatever they say."""
        for method in ("CONNECT", "TRACE"):
            with self.assertRaises(ExchangeError) as caught:
                hop(_head(method, b"0"))
            self.assertEqual(caught.exception.reason.status, 405)
