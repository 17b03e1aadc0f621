"""Tests for :mod:`balancer.tls.session` and what makes sessions, with both libraries on either side."""

from __future__ import annotations

import itertools
import os

from twisted.trial.unittest import SynchronousTestCase

from balancer import errors
from balancer.errors import BalancerError
from balancer.tls.choosing import library_in_use, library_named
from balancer.tls.client_contexts import ClientContext, ClientSettings
from balancer.tls.faults import (
    ALERT,
    CERTIFICATE,
    CLOSED,
    NO_PROTOCOL,
    NOT_TLS,
    NOTHING_SHARED,
    PROTOCOL,
    UNKNOWN_NAME,
    Fault,
)
from balancer.tls.tickets import KEPT, KEY_SIZE, TicketKeys, new_key
from tests.tls.conversations import (
    CA,
    OTHER_CA,
    SHOP,
    bytewise,
    client,
    identity,
    infos,
    libraries,
    server,
    talk,
    whole,
)

PAIRS = list(itertools.product(libraries(), libraries()))


class SessionTests(SynchronousTestCase):
    """What is said arrives, whoever says it, in whatever pieces."""

    def test_both_ways(self) -> None:
        """Little and much, whole and byte by byte, in TLS 1.2 and 1.3, between all libraries."""
        for ours, theirs in PAIRS:
            for profile, split in itertools.product(("intermediate", "modern"), (whole, bytewise)):
                spoken = talk(client(ours), server(theirs, profile=profile), split=split)
                self.assertIsNone(spoken.client.fault)
                for size in (1, 16384, 16385) if split is bytewise else (1, 100, 70_000, 1_000_000):
                    said = os.urandom(size)
                    self.assertEqual(spoken.says(spoken.client, said), said)
                    self.assertEqual(spoken.says(spoken.server, said), said)
                self.assertEqual(infos(spoken)[0].version, "TLSv1.3")

    def test_several_records_at_once(self) -> None:
        """Records that come together, and a half one, are read as far as they go."""
        for ours, theirs in PAIRS:
            spoken = talk(client(ours), server(theirs))
            data = b"".join(spoken.client.send(piece) for piece in (b"one", b"two", b"three"))
            self.assertEqual(spoken.server.receive(data[:-3]), b"onetwo")
            self.assertEqual(spoken.server.receive(data[-3:]), b"three")

    def test_goodbye(self) -> None:
        """Who closes says so once, after all else; the other end has heard all of it."""
        for ours, theirs in PAIRS:
            spoken = talk(client(ours), server(theirs))
            last = spoken.client.send(b"last") + spoken.client.finish()
            self.assertEqual(spoken.client.finish(), b"")
            spoken.carry(last, spoken.server)
            self.assertEqual((spoken.heard[spoken.server], spoken.server.peer_closed), (b"last", True))
            self.assertEqual(spoken.says(spoken.server, b"still here"), b"still here")
            self.assertIn("established", repr(spoken.server))
            spoken.server.end()
            spoken.server.end()
            self.assertIn("ended", repr(spoken.server))

    def test_damage(self) -> None:
        """A byte that was changed on its way ends it, and is answered by an alert."""
        for ours, theirs in PAIRS:
            spoken = talk(client(ours), server(theirs))
            data = bytearray(spoken.client.send(b"hello"))
            data[-1] ^= 1
            self.assertEqual(spoken.server.receive(bytes(data)), b"")
            self.assertEqual(spoken.server.fault and spoken.server.fault.kind, PROTOCOL)
            spoken.turn()
            self.assertEqual(spoken.client.fault and spoken.client.fault.kind, ALERT)
            self.assertRaises(Fault, spoken.server.send, b"more")

    def test_no_tls(self) -> None:
        """What is no TLS is known for that, whatever it is."""
        for library in libraries():
            for said in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", bytes(100)):
                session = server(library).session()
                session.receive(said)
                self.assertIn(session.fault and session.fault.kind, (NOT_TLS, PROTOCOL), said)


class ServerTests(SynchronousTestCase):
    """What clients are shown, asked and refused."""

    def test_by_name(self) -> None:
        """The certificate is chosen by the name; with strict names nobody else's is shown."""
        site = CA.issue("site.example", number=1)
        for ours, theirs in PAIRS:
            contexts = server(theirs, identity(SHOP), identity(site, "site", "ecdsa", "site.example"))
            self.assertEqual(infos(talk(client(ours), contexts, "site.example"))[1].sni, "site.example")
            refused = talk(client(ours), contexts, "other.example")
            self.assertEqual(refused.client.fault and refused.client.fault.kind, CERTIFICATE)
            strict = talk(client(ours), server(theirs, strict=True), "other.example")
            self.assertEqual(strict.server.fault and strict.server.fault.kind, UNKNOWN_NAME)
            self.assertIn("unrecognized_name", str(strict.client.fault))

    def test_both_kinds_of_key(self) -> None:
        """RSA and ECDSA side by side: a context with both serves everybody."""
        rsa = identity(CA.issue("shop.example", kind="rsa"), "rsa", "rsa")
        for ours, theirs in PAIRS:
            self.assertIsNone(talk(client(ours), server(theirs, identity(SHOP), rsa)).client.fault)
            self.assertIsNone(talk(client(ours), server(theirs, rsa)).client.fault)

    def test_protocols(self) -> None:
        """The first of ours that the client speaks; none in common is refused (RFC 7301)."""
        for ours, theirs in PAIRS:
            contexts = server(theirs, alpn=("h2", "http/1.1"))
            for offered, agreed in ((("http/1.1", "h2"), "h2"), (("http/1.1",), "http/1.1"), ((), "")):
                spoken = talk(client(ours, alpn=offered), contexts)
                self.assertEqual([each.alpn for each in infos(spoken)], [agreed, agreed])
            refused = talk(client(ours, alpn=("ftp",)), contexts)
            self.assertEqual(refused.server.fault and refused.server.fault.kind, NO_PROTOCOL)
            self.assertIn("ftp", str(refused.server.fault))

    def test_profiles(self) -> None:
        """Who can only do TLS 1.2 is not served by the modern profile."""
        context = client(libraries()[0])
        for library in libraries():
            spoken = talk(context, server(library, profile="modern"))
            self.assertEqual(infos(spoken)[1].version, "TLSv1.3")
        self.assertIs(Fault.of([(258, "unsupported protocol")], "").kind, NOTHING_SHARED)

    def test_client_certificates(self) -> None:
        """Optional, required, of the wrong authority, and revoked."""
        alice = CA.issue("alice", client=True, subject="CN=alice")
        mallory = OTHER_CA.issue("mallory", client=True)
        for ours, theirs in PAIRS:
            shown = client(ours, identity=identity(alice, "alice"))
            wanted = {"ca": CA.issued.cert, "client_auth": "require"}
            spoken = talk(shown, server(theirs, **wanted))
            found = infos(spoken)[1].client
            self.assertEqual((found.subject, len(found.fingerprint)), ("CN=alice", 64))
            none = talk(client(ours), server(theirs, **wanted))
            self.assertEqual(none.server.fault and none.server.fault.kind, CERTIFICATE)
            optional = talk(client(ours), server(theirs, ca=CA.issued.cert, client_auth="optional"))
            self.assertIsNone(infos(optional)[1].client)
            wrong = talk(client(ours, identity=identity(mallory, "mallory")), server(theirs, **wanted))
            self.assertEqual(wrong.server.fault and wrong.server.fault.kind, CERTIFICATE)
            revoked = talk(shown, server(theirs, crl=CA.revoke(alice), **wanted))
            self.assertIn("revoked", str(revoked.server.fault))

    def test_replaced(self) -> None:
        """Other certificates are for who comes from now on; what cannot be used changes nothing."""
        newer = CA.issue("shop.example", number=2)
        for library in libraries():
            contexts = server(library)
            before = talk(client(library), contexts)
            contexts.use(type(contexts.choice)([identity(newer, "newer")]))
            self.assertEqual(before.says(before.client, b"on"), b"on")
            shown = talk(client(library), contexts).client.peer_certificate
            self.assertEqual(shown, __import__("ssl").PEM_cert_to_DER_cert(newer.cert.decode()))
            broken = identity(SHOP, "broken")
            wrong = type(broken)("broken", SHOP.cert, newer.key, ("shop.example",), "ecdsa", 0.0, 4e9, "1", "broken")
            self.assertRaises(BalancerError, contexts.use, type(contexts.choice)([wrong]))
            self.assertIsNone(talk(client(library), contexts).client.fault)


class ClientTests(SynchronousTestCase):
    """Which servers are believed."""

    def test_refused(self) -> None:
        """Another name, another authority, one that signed itself, one that is over: each said in words."""
        expired = CA.issue("shop.example", days=-1, age=3)
        for ours, theirs in PAIRS:
            for issued, host, words in (
                (SHOP, "other.example", "not for other.example but for shop.example"),
                (OTHER_CA.issue("shop.example"), "shop.example", "issuer"),
                (OTHER_CA.issued, "shop.example", "self"),
                (expired, "shop.example", "expired"),
            ):
                spoken = talk(client(ours), server(theirs, identity(issued)), host)
                fault = spoken.client.fault
                assert fault is not None
                self.assertEqual(fault.kind, CERTIFICATE)
                self.assertIn(words, str(fault))
                self.assertIs(fault.towards_server("10.0.0.1:443").reason, errors.TLS_CERTIFICATE_ERROR)
            trusting = talk(client(ours, verify=False), server(theirs, identity(OTHER_CA.issued)), "whoever.example")
            self.assertIsNone(trusting.client.fault)

    def test_names(self) -> None:
        """By its address, or by the name that the pool gives to all of its servers."""
        for ours, theirs in PAIRS:
            self.assertIsNone(talk(client(ours), server(theirs), "127.0.0.1").client.fault)
            named = talk(client(ours, server_name="shop.example"), server(theirs), "10.9.9.9")
            self.assertEqual((named.client.fault, infos(named)[1].sni), (None, "shop.example"))

    def test_goes_on(self) -> None:
        """The second connection to a server goes on with the session of the first."""
        for ours, theirs in PAIRS:
            context, contexts = client(ours), server(theirs)
            for resumed in (False, True, True):
                spoken = talk(context, contexts)
                spoken.says(spoken.server, b"hello")
                self.assertEqual([each.resumed for each in infos(spoken)], [resumed, resumed])
                spoken.client.end()
                spoken.server.end()

    def test_settings(self) -> None:
        """What cannot be used is said at once."""
        for library in libraries():
            self.assertRaises(BalancerError, ClientContext, ClientSettings(ca=b"nothing"), library)
            self.assertIn("own authorities", repr(client(library)))
            self.assertIn("the system's", repr(ClientContext(ClientSettings(), library)))


class TicketTests(SynchronousTestCase):
    """Keys of session tickets."""

    def test_keys(self) -> None:
        """The newest is used, those before it are known for a while."""
        keys = TicketKeys()
        first = keys.keys[0]
        for _ in range(KEPT - 1):
            keys.rotate()
        self.assertEqual((len(keys.keys), keys.keys[-1]), (KEPT, first))
        self.assertEqual(keys.named(first[:16]), first)
        keys.rotate()
        self.assertIsNone(keys.named(first[:16]))
        self.assertEqual(len(new_key()), KEY_SIZE)
        self.assertNotIn(first.hex()[:8], repr(keys))
        for wrong in ([], [b"short"]):
            self.assertRaises(ValueError, keys.use, wrong)

    def test_shared(self) -> None:
        """A session goes on wherever the keys are known, and nowhere else."""
        for library in libraries():
            if not library.has_ticket_keys:
                continue
            keys = TicketKeys()
            for elsewhere, resumed in ((TicketKeys(keys.keys), True), (TicketKeys(), False)):
                context = client(library)
                first = talk(context, server(library, keys=keys))
                first.says(first.server, b"hello")
                second = talk(context, server(library, keys=elsewhere))
                self.assertEqual(infos(second)[1].resumed, resumed)

    def test_another_listener(self) -> None:
        """Nobody gets in by a session where a certificate is asked for that was not asked for when it began."""
        for library in libraries():
            keys, context = TicketKeys(), client(library)
            first = talk(context, server(library, keys=keys))
            first.says(first.server, b"hello")
            stricter = server(library, keys=keys, ca=CA.issued.cert, client_auth="optional")
            self.assertFalse(infos(talk(context, stricter))[1].resumed)


class LibraryTests(SynchronousTestCase):
    """Which library is used."""

    def test_chosen(self) -> None:
        """By name, or the better one; each says what it is."""
        self.assertEqual(library_named("pyopenssl").name, "pyopenssl")
        self.assertIn("OpenSSL", library_in_use().version)
        self.assertRaises(BalancerError, library_named, "boringssl")

    def test_faults(self) -> None:
        """Every kind has words and a reason for the log."""
        self.assertIs(Fault(CLOSED, "gone").towards_server("a").reason, errors.CONNECTION_TERMINATED)
        self.assertIn("gone", repr(Fault(CLOSED, "gone")))
