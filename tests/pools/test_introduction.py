"""Tests for :mod:`balancer.pools.introduction`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.address import Peer
from balancer.model.facts import RequestFacts, SessionFacts
from balancer.model.tls import ClientCertificate, TLSInfo
from balancer.pools.introduction import Introduction
from balancer.wire.proxy_protocol import Reader, tlvs

ALICE, BOB, LOCAL = Peer("192.0.2.7", 7), Peer("2001:db8::8", 8), Peer("203.0.113.7", 443)
CERTIFICATE = ClientCertificate("CN=alice,O=Example", "CN=CA", (), "ab", "1", 0.0, "")
TLS = TLSInfo("TLSv1.3", "TLS_AES_128_GCM_SHA256", "shop.example", "h2", client=CERTIFICATE)


class IntroductionTests(SynchronousTestCase):
    def test_read_again(self) -> None:
        """What is written is what a reader of it is told."""
        for version in (1, 2):
            introduction = Introduction(version, checksum=version == 2)
            header = Reader().feed(introduction.marked(SessionFacts(ALICE, LOCAL), "id"))
            assert header is not None
            self.assertEqual((header.version, header.source, header.destination), (version, ALICE, LOCAL))
            probe = Reader().feed(introduction.of_probes)
            assert probe is not None
            self.assertIsNone(probe.source)

    def test_vectors(self) -> None:
        """Everything that is wanted and known."""
        everything = Introduction(2, frozenset(["authority", "alpn", "ssl", "unique_id"]), True)
        header = Reader().feed(everything.marked(RequestFacts("GET", "/", [], ALICE, LOCAL, tls=TLS), "one"))
        assert header is not None
        said = dict(header.tlvs)
        self.assertEqual(
            (said[tlvs.AUTHORITY], said[tlvs.ALPN], said[tlvs.UNIQUE_ID]), (b"shop.example", b"h2", b"one")
        )
        assert header.tls is not None
        self.assertTrue(header.tls.encrypted)
        self.assertIn(b"alice", said[tlvs.SSL])
        plain = Reader().feed(everything.marked(SessionFacts(ALICE, LOCAL), "one"))
        assert plain is not None
        self.assertNotIn(tlvs.SSL, dict(plain.tlvs))

    def test_whose(self) -> None:
        """Requests of one client's connection have the same key, whatever their ids; those of others have not."""
        introduction = Introduction(2, frozenset(["unique_id"]), True)
        alice, again, bob = (RequestFacts("GET", "/", [], peer, LOCAL) for peer in (ALICE, ALICE, BOB))
        self.assertEqual(introduction.of(alice), introduction.of(again))
        self.assertNotEqual(introduction.of(alice), introduction.of(bob))
        self.assertNotEqual(introduction.marked(alice, "1"), introduction.marked(alice, "2"))
