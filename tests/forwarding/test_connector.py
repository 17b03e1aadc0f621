"""Tests for :mod:`balancer.forwarding.connector`: what TLS may agree on, and connections of an exchange's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from balancer import errors
from balancer.errors import ExchangeError
from balancer.forwarding.connector import ServerConnector
from balancer.forwarding.server_connection import ServerConnection
from balancer.model.tls import TLSInfo
from balancer.net.timers import Wheel
from balancer.pools.server import Server
from tests.forwarding.http2.peers import Peer
from tests.pools.pieces import server as named


class ConnectorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.dials: list[tuple[Callable[[TLSInfo | None], Any], tuple[str, ...], Deferred[Any]]] = []
        self.clock = MemoryReactorClock()
        self.connector = ServerConnector(self.dial, Wheel(self.clock))
        self.got: list[Any] = []

    def dial(
        self,
        server: Server,
        then: Callable[[TLSInfo | None], Any],
        alpn: tuple[str, ...],
        timeout: float,
        first: bytes = b"",
    ) -> Deferred[Any]:
        dialled: Deferred[Any] = Deferred()
        self.first = first
        self.dials.append((then, alpn, dialled))
        return dialled

    def ask(self, server: Server, *, alone: bool = False) -> Deferred[Any]:
        waiting: Deferred[Any] = self.connector(server, 3.0, alone=alone)
        return waiting.addBoth(self.got.append)

    def agree(self, alpn: str) -> Any:
        """Let the first connection be made, with such an outcome of TLS (``""``: there is none); return what became of it."""
        then, _, dialled = self.dials.pop(0)
        try:
            protocol = then(TLSInfo("TLSv1.3", "", alpn=alpn.strip()) if alpn else None)
        except ExchangeError:
            dialled.errback(Failure())
            return None
        if isinstance(protocol, ServerConnection):
            protocol.makeConnection(StringTransport())
            dialled.callback(protocol)
            return protocol
        peer = Peer(protocol, {}, True)
        dialled.callback(protocol)
        return peer.speak()

    def test_http1(self) -> None:
        """A pool of HTTP/1.1 has a connection for each exchange."""
        server = named("a")
        for _ in range(2):
            self.ask(server)
        self.assertEqual([alpn for _, alpn, _ in self.dials], [("http/1.1",)] * 2)
        self.agree("")
        self.assertIsInstance(self.got[0], ServerConnection)
        self.assertGreater(self.got[0].expires, 3600)

    def test_first_words(self) -> None:
        """A connection that begins with a PROXY header is of HTTP/1.1 whatever else the server speaks, and its client's."""
        server = named("a", protocol="auto")
        self.connector(server, 3.0, alone=True, first=b"PROXY one", whom=b"one").addBoth(self.got.append)
        self.assertEqual((self.first, self.dials[0][1]), (b"PROXY one", ("http/1.1",)))
        self.agree("")
        self.assertEqual(self.got[0].whom, b"one")
        self.ask(named("b"))
        self.assertEqual(self.first, b"")
        self.agree("")
        self.assertEqual(self.got[1].whom, b"")

    def test_auto_h2(self) -> None:
        """Where TLS agrees on h2, a connection is shared."""
        server = named("a", protocol="auto")
        for _ in range(2):
            self.ask(server)
        self.assertEqual([alpn for _, alpn, _ in self.dials], [("h2", "http/1.1")])
        self.agree("h2")
        self.assertEqual([each.version for each in self.got], ["h2", "h2"])

    def test_auto_http1(self) -> None:
        """Where it does not, who waited for it gets a connection of its own, and nobody waits for another's again."""
        server = named("a", protocol="auto")
        for _ in range(3):
            self.ask(server)
        self.agree("http/1.1")
        self.assertEqual((len(self.got), len(self.dials)), (1, 2))
        self.agree("")
        self.agree("http/1.1")
        self.assertEqual([each.version for each in self.got], ["http1"] * 3)
        self.ask(server)
        self.ask(server)
        self.assertEqual(len(self.dials), 2)

    def test_auto_http1_and_nobody_waits(self) -> None:
        """A connection that nobody waits for any more is not made."""
        server = named("a", protocol="auto")
        waiting = self.ask(server)
        waiting.cancel()
        (_, _, dialled) = self.dials[0]
        self.assertTrue(dialled.called)
        self.assertEqual(server.connections, {"http1": 0, "h2": 0})

    def test_h2_refused(self) -> None:
        """A pool that is to speak h2 does not speak anything else."""
        server = named("a", protocol="h2")
        for agreed in ("http/1.1", " "):  # or on nothing at all
            self.ask(server)
            self.agree(agreed)
            self.assertIs(self.got.pop().value.reason, errors.HTTP_PROTOCOL_ERROR)

    def test_scheme(self) -> None:
        """``:scheme`` says whether there is TLS."""
        for agreed, scheme in (("", b"http"), ("h2", b"https")):
            server = named("a", protocol="h2")
            self.ask(server)
            protocol = self.dials[0][0](TLSInfo("TLSv1.3", "", alpn=agreed) if agreed else None)
            self.dials.clear()
            self.assertEqual(protocol.scheme, scheme)

    def test_alone(self) -> None:
        """An upgrade wants HTTP/1.1 and a connection of its own, beside those that are shared."""
        server = named("a", protocol="auto")
        self.ask(server)
        self.agree("h2")
        self.ask(server, alone=True)
        self.assertEqual(self.dials[0][1], ("http/1.1",))
        self.agree("http/1.1")
        self.assertEqual([each.version for each in self.got], ["h2", "http1"])
        self.ask(server)
        self.assertEqual(self.got[2].version, "h2")
