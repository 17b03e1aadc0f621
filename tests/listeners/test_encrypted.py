"""Tests for :mod:`balancer.listeners.encrypted`."""

from __future__ import annotations

import ssl
from typing import Any

from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from balancer.listeners.encrypted import Handshake, Handshakes
from balancer.model.origin import Origin
from balancer.net.timers import Wheel
from balancer.tls.choice import Choice
from balancer.tls.reading import identity_of
from balancer.tls.server_contexts import ServerContexts, ServerSettings
from tests.tls.authority import Authority

CA = Authority("CA")
SHOP = CA.issue("shop.example")
CHOICE = Choice([identity_of("shop", [SHOP.cert], SHOP.key)], strict=True)


class _Transport(StringTransport):
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class _Above(Protocol):
    def __init__(self) -> None:
        self.data = b""

    def dataReceived(self, data: bytes) -> None:
        self.data += data


class HandshakeTests(SynchronousTestCase):
    """One client, in memory, with Python's own TLS on its side."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.counts = Handshakes("web", self.clock.seconds)
        self.spoken: list[Origin] = []
        self.left: list[Handshake] = []
        self.above = _Above()
        self.proofs: dict[str, str] = {}
        self._begin()

    def _begin(self) -> None:
        settings = ServerSettings("web", alpn=("http/1.1",), handshake_timeout=5.0)
        contexts = ServerContexts(settings, CHOICE, proofs=self.proofs)
        wheel = Wheel(self.clock)
        self.handshake = Handshake(contexts, wheel, self.counts, self._speak, self.left.append, http=True)
        self.transport = _Transport()
        self.handshake.protocol.makeConnection(self.transport)
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self._log)
        self.addCleanup(globalLogPublisher.removeObserver, self._log)

    def _log(self, event: Any) -> None:
        if event.get("log_namespace", "").startswith("balancer.listeners"):
            self.lines.append(event["log_format"].format(**event))

    def _speak(self, handshake: Handshake, origin: Origin) -> Any:
        self.assertIs(handshake, self.handshake)
        self.spoken.append(origin)
        return self.above

    def _client(self, name: str = "shop.example") -> ssl.SSLObject:
        context = ssl.create_default_context(cadata=CA.issued.cert.decode())
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        return context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    def _talk(self, client: ssl.SSLObject) -> None:
        for _ in range(5):
            try:
                client.do_handshake()
            except ssl.SSLWantReadError:
                pass
            self.handshake.protocol.dataReceived(self.outgoing.read())
            self.incoming.write(self.transport.value())
            self.transport.clear()

    def test_done(self) -> None:
        """Whoever speaks above is told who it is and how it is protected, and gets what follows."""
        client = self._client()
        self._talk(client)
        client.write(b"hello")
        self.handshake.protocol.dataReceived(self.outgoing.read())
        (origin,) = self.spoken
        assert origin.tls is not None
        self.assertEqual((origin.scheme, origin.tls.sni, origin.tls.version), ("https", "shop.example", "TLSv1.3"))
        self.assertEqual(self.above.data, b"hello")
        self.assertEqual((self.counts.done, self.counts.failed, self.left), ({"TLSv1.3": 1}, {}, []))
        self.clock.advance(10)
        self.handshake.abort()
        self.assertFalse(self.transport.aborted)
        self.assertEqual(repr(self.counts), "<Handshakes done 1, failed 0>")

    def test_proof(self) -> None:
        """An authority is shown what it wants to see, and nothing more is spoken: the connection is closed, and nobody's."""
        self.proofs["new.example"] = "token.thumbprint"
        self._begin()
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["acme-tls/1"])
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context.wrap_bio(self.incoming, self.outgoing, server_hostname="new.example")
        self._talk(client)
        self.assertEqual(client.selected_alpn_protocol(), "acme-tls/1")
        self.assertEqual((self.spoken, self.left), ([], [self.handshake]))
        self.assertEqual(client.read(), b"")  # close_notify
        self.assertTrue(self.transport.disconnecting)
        self.handshake.protocol.connectionLost(_gone())
        self.assertEqual((self.counts.failed, self.left), ({}, [self.handshake]))

    def test_refused(self) -> None:
        """A name that nobody has."""
        client = self._client("other.example")
        self.assertRaises(ssl.SSLError, self._talk, client)
        self.assertEqual((self.counts.failed, self.left, self.spoken), ({"unknown_name": 1}, [self.handshake], []))
        self.assertTrue(self.transport.disconnecting)

    def test_too_slow(self) -> None:
        """Whoever says nothing, or half of what it has to, is not waited for."""
        client = self._client()
        self.assertRaises(ssl.SSLWantReadError, client.do_handshake)
        self.handshake.protocol.dataReceived(self.outgoing.read()[:50])
        self.clock.pump([0.1] * 40)
        self.assertFalse(self.transport.aborted)
        self.clock.pump([0.1] * 20)
        self.assertTrue(self.transport.aborted)
        self.assertEqual((self.counts.failed, self.left), ({"timeout": 1}, [self.handshake]))

    def test_gone(self) -> None:
        """A client that goes away in the middle, by a reset or orderly, and one that is cut off by us."""
        self.handshake.protocol.connectionLost(_gone())
        self.assertEqual((self.counts.failed, self.left), ({"reset": 1}, [self.handshake]))
        self.setUp()
        self.handshake.protocol.readConnectionLost()
        self.handshake.protocol.connectionLost(_gone())
        self.assertEqual((self.counts.failed, self.left), ({"closed": 1}, [self.handshake]))
        self.setUp()
        self.handshake.abort()
        self.assertTrue(self.transport.aborted)
        self.handshake.protocol.connectionLost(_gone())
        self.assertEqual((self.counts.failed, self.left), ({"closed": 1}, [self.handshake]))
        self.assertEqual(self.lines, [])  # whoever says nothing at all is not worth a line

    def test_told(self) -> None:
        """Every other failure has a line in the log, with who it was, what was asked for and why; so many in a while."""
        self.assertRaises(ssl.SSLError, self._talk, self._client("other.example"))
        (line,) = self.lines
        self.assertTrue(line.startswith("listener web: TLS handshake with "), line)
        self.assertIn(", who asks for 'other.example', failed, unknown_name: no certificate for 'other.example'", line)
        counts = self.counts
        for count in range(30):
            counts.tell(f"192.0.2.{count}:1", "", "alert", "alert unknown_ca")
        self.assertEqual(len(self.lines), 10)
        self.assertTrue(self.lines[1].endswith("192.0.2.0:1 failed, alert: alert unknown_ca"))
        self.clock.advance(20)
        counts.tell("192.0.2.99:1", "", "timeout", "it took too long")
        self.assertTrue(
            self.lines[-1].endswith("it took too long (21 failures before were not written)"), self.lines[-1]
        )

    def test_plain(self) -> None:
        """A client that speaks plain HTTP is told what is spoken here; one that speaks anything else gets an alert."""
        self.handshake.protocol.dataReceived(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")
        self.assertTrue(self.transport.value().startswith(b"HTTP/1.1 400 Bad Request\r\n"))
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual((self.counts.failed, self.left), ({"not_tls": 1}, [self.handshake]))
        self.setUp()
        self.handshake.protocol.dataReceived(b"SSH-2.0-OpenSSH\r\n")
        self.assertFalse(self.transport.value().startswith(b"HTTP"))
        self.assertEqual(self.left, [self.handshake])

    def test_draining(self) -> None:
        """A listener that drains lets it go on, and what is spoken afterwards knows."""
        self.handshake.drain()
        self.handshake.announce_end()
        self._talk(self._client())
        self.assertTrue(self.handshake.is_ending)
        self.assertEqual(len(self.spoken), 1)


def _gone() -> Any:
    from twisted.internet.error import ConnectionLost
    from twisted.python.failure import Failure

    return Failure(ConnectionLost())
