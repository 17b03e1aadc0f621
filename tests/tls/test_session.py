"""Tests for :mod:`balancer.tls.session` and what makes sessions, with both libraries on either side."""

from __future__ import annotations

import itertools
import os
import random
from dataclasses import replace

import cffi
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from balancer import errors
from balancer.errors import BalancerError
from balancer.tls import system
from balancer.tls.authorities import read_authorities
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
from balancer.tls.library import Library
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


class NothingLeftTests(SynchronousTestCase):
    """Connections may share what their bytes come and go by: whatever one says, the next must not hear it."""

    def _is_clean(self, library: Library, what: str) -> None:
        """Another conversation goes on undisturbed, and a new one can begin."""
        self.assertEqual(self.bystander.says(self.bystander.client, b"hello"), b"hello", what)
        self.assertEqual(self.bystander.says(self.bystander.server, b"hello"), b"hello", what)
        self.assertIsNone(talk(client(library), server(library)).server.fault, what)
        incoming, outgoing = library.bios()
        if library.name == "system":  # the very same for all
            for each in (incoming, outgoing):
                self.assertLessEqual(library.BIO_read(each, library.buffer, 1), 0, what)
        for each in (incoming, outgoing):
            library.BIO_free(each)

    def test_more_than_is_read(self) -> None:
        """After a goodbye, damage, a refusal, or something that is no TLS there may follow whatever somebody likes to send."""
        for library in libraries():
            self.bystander = talk(client(library), server(library))
            for more in (b"\x16\x03\x01" * 20_000, b"\x17\x03\x03\x00\x20" + bytes(60_000), os.urandom(50_000)):
                for who in ("client", "server"):
                    spoken = talk(client(library), server(library))
                    speaker = spoken.server if who == "client" else spoken.client
                    hearer = spoken.client if who == "client" else spoken.server
                    self.assertEqual(hearer.receive(speaker.send(b"last") + speaker.finish() + more), b"last")
                    self.assertTrue(hearer.peer_closed)
                    self._is_clean(library, f"{who} after a goodbye")
                    spoken = talk(client(library), server(library))
                    speaker = spoken.server if who == "client" else spoken.client
                    hearer = spoken.client if who == "client" else spoken.server
                    hearer.receive(speaker.send(b"first") + more)
                    self._is_clean(library, f"{who} with garbage behind it")
                refused = client(library).session("other.example")
                strict = server(library, strict=True).session()
                refused.start()
                strict.receive(refused.take() + more)
                self._is_clean(library, "nobody's name")
                accepted = server(library).session()
                refused = client(library).session("other.example")
                refused.start()
                accepted.receive(refused.take())
                refused.receive(accepted.take() + more)
                self.assertEqual(refused.fault and refused.fault.kind, CERTIFICATE)
                self._is_clean(library, "another's certificate")
                server(library).session().receive(more)
                self._is_clean(library, "no TLS")
                server(library).session().receive(_SSL2_HELLO + more)
                self._is_clean(library, "a hello of SSL 2")

    def test_anything(self) -> None:
        """Records cut, changed, repeated and left out at random, in handshakes and after them."""
        chance = random.Random(7)
        for library in libraries():
            self.bystander = talk(client(library), server(library))
            for turn in range(300):
                ours, theirs = client(library).session("shop.example"), server(library).session()
                ours.start()
                for _ in range(6):
                    for speaker, hearer in ((ours, theirs), (theirs, ours)):
                        said = speaker.take()
                        if (
                            speaker.established
                            and speaker.fault is None
                            and not speaker.finished
                            and chance.random() < 0.7
                        ):
                            said += speaker.send(bytes(chance.randrange(1, 40_000)))
                            if chance.random() < 0.3:
                                said += speaker.finish()
                        hearer.receive(_spoilt(said, chance))
                ours.end()
                theirs.end()
                if turn % 10 == 0:
                    self._is_clean(library, f"turn {turn}")
            self._is_clean(library, "in the end")

    def test_where_records_end(self) -> None:
        """It is known at any time whether the next byte begins a record, in whatever pieces they came."""
        for library in libraries():
            for split in (whole, bytewise, lambda data: [data[:3], data[3:4], data[4:]]):
                spoken = talk(client(library), server(library), split=split)
                for size in (1, 100, 20_000, 1):
                    spoken.says(spoken.client, bytes(size))
                    spoken.says(spoken.server, bytes(size))
                    self.assertEqual((spoken.client._missing, spoken.server._missing), (0, 0))
                data = spoken.client.send(bytes(500))
                spoken.server.receive(data[:100])
                self.assertEqual(spoken.server._missing, len(data) - 100)
                self.assertEqual(spoken.server.receive(data[100:]), bytes(500))


class KeyUpdateTests(SynchronousTestCase):
    """New keys in the middle (RFC 8446 section 4.6.3)."""

    def test_some_and_too_many(self) -> None:
        """A peer may ask for new keys, but not make us answer without end."""
        try:
            library = library_named("system")
        except BalancerError as missing:
            raise SkipTest(str(missing)) from None
        ffi = cffi.FFI()
        ffi.cdef("int SSL_key_update(void *, int);")
        functions = ffi.dlopen(system.NAMES[0])
        spoken = talk(client(library), server(library))
        ssl = ffi.cast("void *", int(library.ffi.cast("uintptr_t", spoken.client._ssl)))
        for count in range(20_000):
            self.assertEqual(functions.SSL_key_update(ssl, 1), 1)
            heard = spoken.server.receive(spoken.client.send(b"hello"))
            spoken.client.receive(spoken.server.take())
            if spoken.server.fault is not None:
                break
            self.assertEqual(heard, b"hello")
        self.assertGreater(count, 1000)
        self.assertIn("new keys", str(spoken.server.fault))


_SSL2_HELLO = (
    bytes([0x80, 0x2E, 1, 3, 3, 0, 21, 0, 0, 0, 16])
    + bytes([0, 0xC0, 0x2B, 0, 0xC0, 0x2F, 0, 0xC0, 0x30, 0, 0xC0, 0x2C, 0, 0x13, 1, 0, 0x13, 2, 0, 0x13, 3])
    + bytes(range(16))
)
"""A ClientHello in the form of SSL 2, as TLS 1.2 still allowed it: its header is not one of TLS."""


def _spoilt(data: bytes, chance: random.Random) -> bytes:
    way = chance.randrange(8)
    at = chance.randrange(len(data) + 1)
    if way == 0:
        return data[:at]
    if way == 1:
        return data + chance.randbytes(chance.randrange(70_000))
    if way == 2 and at < len(data):
        return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]
    if way == 3:
        return data + data[:at]
    return data


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

    def test_asked_again(self) -> None:
        """What was asked for before is answered as the certificates of the moment say, and alike where nothing changed."""
        choice = type(server(libraries()[0]).choice)
        for ours, theirs in PAIRS:
            contexts = server(theirs, strict=True, alpn=("h2", "http/1.1"))
            for _ in range(2):
                for offered, agreed in ((("http/1.1", "h2"), "h2"), (("http/1.1",), "http/1.1"), ((), "")):
                    shown = infos(talk(client(ours, alpn=offered), contexts, "SHOP.example"))[1]
                    self.assertEqual((shown.sni, shown.alpn, shown.client), ("shop.example", agreed, None))
                refused = talk(client(ours, alpn=("ftp",)), contexts)
                self.assertEqual(refused.server.fault and refused.server.fault.kind, NO_PROTOCOL)
                unknown = talk(client(ours), contexts, "site.example")
                self.assertEqual(unknown.server.fault and unknown.server.fault.kind, UNKNOWN_NAME)
            alike = [infos(talk(client(ours), contexts))[1] for _ in range(2)]
            self.assertIs(alike[0], alike[1])
            contexts.use(choice([identity(CA.issue("site.example"), "site", "ecdsa", "site.example")], strict=True))
            self.assertIsNone(talk(client(ours), contexts, "site.example").client.fault)
            gone = talk(client(ours), contexts)
            self.assertEqual(gone.server.fault and gone.server.fault.kind, UNKNOWN_NAME)

    def test_asked_for_anything(self) -> None:
        """Somebody who asks for a new name each time makes nobody remember all of them."""
        for library in libraries():
            contexts, context = server(library), client(library)
            for number in range(1100):
                asking = context.session(f"{number}.example")
                asking.start()
                contexts.session().receive(asking.take())
                self.assertLessEqual(len(contexts._asked), 512)
            self.assertIsNone(talk(context, contexts).client.fault)

    def test_not_replaced(self) -> None:
        """What could not be used leaves nothing behind: staples, sessions and authorities are those of before."""
        for library in libraries():
            context = client(library)
            contexts = server(library, identity(SHOP, staple=b"good"), ca=CA.issued.cert, client_auth="optional")
            first = talk(context, contexts)
            first.says(first.server, b"hello")
            wrong = replace(identity(SHOP, "broken"), key=CA.issue("shop.example", number=2).key, staple=b"other")
            other = read_authorities(OTHER_CA.issued.cert)
            self.assertRaises(BalancerError, contexts.use, type(contexts.choice)([wrong]), other)
            self.assertTrue(infos(talk(context, contexts))[1].resumed)
            self.assertEqual(list(contexts._staples.values()), [b"good"])
            alice = client(library, identity=identity(CA.issue("alice", client=True, subject="CN=alice"), "alice"))
            self.assertIsNotNone(infos(talk(alice, contexts))[1].client)


class ClientTests(SynchronousTestCase):
    """Which servers are believed."""

    def test_refused(self) -> None:
        """Another name, another authority, one that signed itself, one that is over: each said in words, and to the server by an alert."""
        expired = CA.issue("shop.example", days=-1, age=3)
        for ours, theirs in PAIRS:
            for issued, host, words, alert in (
                (SHOP, "other.example", "not for other.example but for shop.example", "bad_certificate"),
                (OTHER_CA.issue("shop.example"), "shop.example", "issuer", "unknown_ca"),
                (OTHER_CA.issued, "shop.example", "self", "unknown_ca"),
                (expired, "shop.example", "expired", "certificate_expired"),
            ):
                spoken = talk(client(ours), server(theirs, identity(issued)), host)
                fault = spoken.client.fault
                assert fault is not None
                self.assertEqual(fault.kind, CERTIFICATE)
                self.assertIn(words, str(fault))
                self.assertEqual(str(spoken.server.fault), f"alert {alert}")
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

    def test_rotated(self) -> None:
        """A session goes on as long as its key is known: of pyOpenSSL's library, which makes its own, that is the newest only."""
        for library in libraries():
            keys, context = TicketKeys(), client(library)
            contexts = server(library, keys=keys)
            talked = talk(context, contexts)
            talked.says(talked.server, b"hello")
            self.assertTrue(infos(talk(context, contexts))[1].resumed)
            self.assertTrue(infos(talk(context, server(library, keys=keys)))[1].resumed)  # as after a reload
            keys.rotate()
            self.assertEqual(infos(talk(context, contexts))[1].resumed, library.has_ticket_keys)
            for _ in range(KEPT):
                keys.rotate()
            self.assertFalse(infos(talk(context, contexts))[1].resumed)

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
