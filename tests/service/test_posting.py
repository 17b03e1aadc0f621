"""Tests for :mod:`balancer.service.posting`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from balancer.errors import BalancerError
from balancer.service.posting import LARGEST, posts


class PostingTests(SynchronousTestCase):
    """One request, one answer, with a server in memory."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.asked: Deferred[bytes] = posts(self.reactor, "ocsp")("http://192.0.2.1:81/q?a", b"question")
        _, port, factory, _, _ = self.reactor.tcpClients[0]
        self.assertEqual(port, 81)
        self.transport = StringTransport()
        self.protocol: Any = factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def test_answer(self) -> None:
        """The body of the answer comes back; the request says what it is."""
        sent = self.transport.value()
        self.assertTrue(sent.startswith(b"POST /q?a HTTP/1.1\r\n"))
        for line in (b"Host: 192.0.2.1:81", b"Content-Type: application/ocsp-request", b"Content-Length: 8"):
            self.assertIn(line + b"\r\n", sent)
        self.assertTrue(sent.endswith(b"\r\n\r\nquestion"))
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nans")
        self.assertNoResult(self.asked)
        self.protocol.dataReceived(b"wer")
        self.assertEqual(self.successResultOf(self.asked), b"answer")

    def test_status(self) -> None:
        """Another status is no answer."""
        self.protocol.dataReceived(b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno")
        error = self.failureResultOf(self.asked, BalancerError)
        self.assertEqual(str(error.value), "the server answers with status 503")

    def test_too_large(self) -> None:
        """An answer without end is cut off."""
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * LARGEST)
        self.assertNoResult(self.asked)
        self.protocol.dataReceived(b"x")
        self.assertTrue(self.transport.disconnecting or self.transport.aborting)
        self.protocol.connectionLost(_done())
        self.assertIn("more than", str(self.failureResultOf(self.asked, BalancerError).value))

    def test_silence(self) -> None:
        """An answer that does not come is not waited for."""
        self.reactor.advance(60)
        self.failureResultOf(self.asked)


def _done() -> Any:
    from twisted.internet.error import ConnectionDone
    from twisted.python.failure import Failure

    return Failure(ConnectionDone())
