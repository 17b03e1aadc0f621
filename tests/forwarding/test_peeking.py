"""What a client says first, looked at before its session goes anywhere."""

from __future__ import annotations

import gc
import weakref

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionLost

from balancer.forwarding.peeking import HelloPolicy
from balancer.forwarding.session import Session
from balancer.model.address import Peer
from balancer.model.facts import SessionFacts
from balancer.observe.records import SessionRecord
from balancer.pools.pool import Pool
from tests.forwarding.test_session import SessionTestCase, Transport
from tests.wire.hellos import HELLOS

CURL = HELLOS["curl"]
UNRECOGNIZED = bytes((21, 3, 3, 0, 2, 2, 112))
NO_PROTOCOL = bytes((21, 3, 3, 0, 2, 2, 120))
DECODE_ERROR = bytes((21, 3, 3, 0, 2, 2, 50))


class PeekTests(SessionTestCase):
    """Between a client and its session."""

    refuses = False
    lacks_protocol = False
    size = 16384

    def route(self, facts: SessionFacts) -> tuple[str, Pool] | None:
        found = super().route(facts)
        return None if self.refuses else found

    def session(self) -> Session:
        session = Session(
            self.clock,
            self.wheel,
            self.connect,
            self.route,
            Peer("192.0.2.7", 40000),
            SessionRecord("tcp"),
            60.0,
            lambda ended: self.records.append(ended.record),
            hello=HelloPolicy(5.0, self.size, lambda facts: self.lacks_protocol),
        )
        session.client.makeConnection(Transport(IPv4Address("TCP", "10.0.0.1", 443)))
        return session

    def closed(self, session: Session) -> tuple[str, str, bytes]:
        """Return reason, detail and what the client was told, of a session that was closed."""
        self.assertTrue(session.client.transport.disconnecting)
        self.assertEqual(self.attempts, [])
        told = session.client.transport.value()
        session.client.dataReceived(b"more")  # which changes nothing
        session.client.readConnectionLost()
        self.lose(session.client)
        self.assertEqual(len(self.wheel), 0)
        return self.record.reason, self.record.detail, told

    def test_decided_by_the_hello(self) -> None:
        """Nothing happens before the hello is whole; then name and protocols are known, and the server gets every byte."""
        session = self.session()
        for at in range(len(CURL) - 1):
            session.client.dataReceived(CURL[at : at + 1])
        self.assertEqual((self.routed, self.attempts), ([], []))
        session.client.dataReceived(CURL[-1:] + b"and more")
        (facts,) = self.routed
        self.assertEqual((facts.sni, facts.alpn), ("curl.example.org", ("h2", "http/1.1")))
        self.assertEqual((session.record.sni, session.record.alpn), (facts.sni, facts.alpn))
        session.client.dataReceived(b" while connecting")
        server = self.answer(session)
        self.assertEqual(server.value(), CURL + b"and more while connecting")
        session.client.dataReceived(b"!")
        session.server.dataReceived(b"answer")
        self.assertEqual((server.value()[-1:], session.client.transport.value()), (b"!", b"answer"))
        self.clock.advance(30)
        self.assertFalse(session.client.transport.disconnecting)

    def test_not_tls(self) -> None:
        """What does not speak TLS is decided on without name and protocols, with its first byte."""
        session = self.session()
        session.client.dataReceived(b"G")
        (facts,) = self.routed
        self.assertEqual((facts.sni, facts.alpn, session.record.sni), (None, (), None))
        session.client.dataReceived(b"ET /")
        self.assertEqual(self.answer(session).value(), b"GET /")

    def test_no_route(self) -> None:
        """A client whose name leads nowhere is told so in TLS; so is one whose protocols do not; others are just closed."""
        self.refuses = True
        session = self.session()
        session.client.dataReceived(CURL)
        self.assertEqual(
            self.closed(session),
            ("destination_not_found", "no route for server name curl.example.org", UNRECOGNIZED),
        )
        self.records.clear()
        session = self.session()
        session.client.dataReceived(HELLOS["openssl_without_name"])
        self.assertEqual(
            self.closed(session),
            ("destination_not_found", "no route for TLS without a server name", UNRECOGNIZED),
        )
        self.records.clear()
        session = self.session()
        session.client.dataReceived(HELLOS["openssl_tls_1_0"])
        self.assertEqual(self.closed(session)[2], bytes((21, 3, 1, 0, 2, 2, 112)))
        self.records.clear()
        session = self.session()
        session.client.dataReceived(b"SSH-2.0-x\r\n")
        self.assertEqual(self.closed(session), ("destination_not_found", "no route for what is not TLS", b""))
        self.records.clear()
        self.lacks_protocol = True
        session = self.session()
        session.client.dataReceived(CURL)
        self.assertEqual(
            self.closed(session),
            (
                "destination_not_found",
                "no route for the protocols offered (h2, http/1.1), server name curl.example.org",
                NO_PROTOCOL,
            ),
        )

    def test_malformed(self) -> None:
        """What is no hello is closed with an alert, and never reaches a server."""
        session = self.session()
        session.client.dataReceived(b"\x16\x03\x01\0\0")
        self.assertEqual(self.closed(session), ("client_hello_malformed", "a record of 0 bytes", DECODE_ERROR))

    def test_too_large(self) -> None:
        """A hello that does not fit is not waited for; more is allowed where the operator says so."""
        self.size = 5000
        session = self.session()
        session.client.dataReceived(HELLOS["openssl_many_protocols"])
        self.assertEqual(
            self.closed(session), ("client_hello_too_large", "5523 bytes, more than fit into 5000", DECODE_ERROR)
        )
        self.size = 6000
        session = self.session()
        session.client.dataReceived(HELLOS["openssl_many_protocols"])
        self.assertEqual((len(self.routed[0].alpn), len(session.record.alpn)), (400, 16))

    def test_silence(self) -> None:
        """A client that says nothing is closed after its time, though the session might be silent for longer."""
        session = self.session()
        self.clock.advance(4.9)
        self.assertFalse(session.client.transport.disconnecting)
        self.clock.pump([0.1] * 5)
        self.assertEqual(self.closed(session), ("client_hello_timeout", "nothing in 5 s", b""))

    def test_dribble(self) -> None:
        """Bytes that come one by one do not prolong the time."""
        session = self.session()
        for at in range(10):
            session.client.dataReceived(CURL[at : at + 1])
            self.clock.advance(0.6)
        self.assertEqual(self.closed(session), ("client_hello_timeout", "no more than 9 bytes in 5 s", b""))

    def test_closed_before(self) -> None:
        """A client that closes early is no error if it said nothing; otherwise the log says how far it came."""
        session = self.session()
        session.client.readConnectionLost()
        self.assertEqual(self.closed(session), ("", "", b""))
        self.records.clear()
        session = self.session()
        session.client.dataReceived(CURL[:1])
        session.client.readConnectionLost()
        self.assertEqual(self.closed(session), ("client_hello_incomplete", "the client closed after 1 byte", b""))

    def test_reset(self) -> None:
        """A client that resets meanwhile is recorded as such; an abort ends a session that waits for its hello."""
        session = self.session()
        self.lose(session.client, ConnectionLost)
        self.assertEqual((self.record.reason, len(self.wheel)), ("client_reset", 0))
        self.records.clear()
        session = self.session()
        session.abort()
        self.assertTrue(session.client.transport.aborted)
        self.lose(session.client, ConnectionLost)
        self.assertEqual((self.record.reason, len(self.wheel)), ("shutdown", 0))

    def test_fin_after_the_hello(self) -> None:
        """A client that closes its direction after its hello still gets its answer."""
        session = self.session()
        session.client.dataReceived(CURL)
        session.client.readConnectionLost()
        server = self.answer(session)
        self.assertTrue(server.finished)
        session.server.dataReceived(b"answer")
        self.assertEqual(session.client.transport.value(), b"answer")

    def test_back_pressure(self) -> None:
        """A client that goes on beyond its hello while there is no server is paused, and read again when there is one."""
        session = self.session()
        client = session.client.transport
        session.client.dataReceived(CURL + bytes(10000))
        self.assertEqual(client.producerState, "producing")
        session.client.dataReceived(bytes(10000))
        self.assertEqual(client.producerState, "paused")
        server = self.answer(session)
        self.assertEqual((client.producerState, len(server.value())), ("producing", len(CURL) + 20000))
        session = self.session()
        session.client.dataReceived(CURL + bytes(20000))
        self.assertEqual(session.client.transport.producerState, "paused")

    def test_freed_at_once(self) -> None:
        """A session that never went anywhere is freed without the garbage collector's help."""
        self.refuses = True
        session = self.session()
        gone = weakref.ref(session.client.transport)
        session.client.dataReceived(CURL)
        self.lose(session.client)
        self.routed.clear()
        gc.disable()
        self.addCleanup(gc.enable)
        del session
        self.assertIsNone(gone())
