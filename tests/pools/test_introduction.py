"""What the servers of a pool are told of clients."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.address import Peer
from balancer.model.facts import RequestFacts, SessionFacts
from balancer.model.tls import ClientCertificate, TLSInfo
from balancer.observe.records import SessionRecord
from balancer.pools.introduction import TLVS, Introduction
from balancer.wire.proxy_protocol import Header, Reader, tlvs, v1, v2

CLIENT, LOCAL = Peer("192.0.2.7", 7), Peer("203.0.113.7", 443)
SESSION = SessionFacts(CLIENT, LOCAL)


def read(data: bytes) -> Header:
    header = Reader().feed(data)
    assert header is not None
    return header


def certificate(subject: str) -> ClientCertificate:
    return ClientCertificate(subject, "CN=ca", (), "00", "01", 0.0, "")


class IntroductionTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        """A request's client and a session's, in both versions."""
        for facts in (SESSION, RequestFacts("GET", "/", [], CLIENT, LOCAL)):
            for version in (1, 2):
                header = read(Introduction(version).of(facts, None))
                self.assertEqual((header.version, header.source, header.destination), (version, CLIENT, LOCAL))
                self.assertEqual(header.tlvs, ())

    def test_probes(self) -> None:
        """Probes are nobody's but ours."""
        self.assertEqual((Introduction(1).of_probes, Introduction(2).of_probes), (v1.UNKNOWN, v2.LOCAL))

    def test_no_address(self) -> None:
        """So are the clients of unix sockets, as far as can be said."""
        nobody = SessionFacts(Peer("", 0), Peer("", 0))
        self.assertEqual(Introduction(1).of(nobody, None), v1.UNKNOWN)
        self.assertEqual(Introduction(2).of(nobody, None), v2.LOCAL)

    def test_everything(self) -> None:
        """Name, protocol, TLS with the client's certificate, id; and a checksum."""
        tls = TLSInfo(
            "TLSv1.3", "TLS_AES_256_GCM_SHA384", "shop.example", "h2", False, certificate("CN=alice,O=Example")
        )
        introduction = Introduction(2, frozenset(TLVS), checksum=True)
        data = introduction.marked(SESSION, tls, "id-1")
        header = read(data)
        self.assertEqual((header.authority, header.alpn, header.unique_id), ("shop.example", "h2", b"id-1"))
        self.assertEqual(header.tlvs[-1][0], tlvs.CRC32C)
        found = header.tls
        assert found is not None
        self.assertEqual((found.version, found.cipher, found.common_name), (tls.version, tls.cipher, "alice"))
        self.assertEqual((found.flags, found.verify), (7, 0))
        self.assertEqual(read(introduction.of(SESSION, tls)).tlvs, header.tlvs[:-2])

    def test_nothing_to_say(self) -> None:
        """Of a plain connection nothing is said of TLS."""
        header = read(Introduction(2, frozenset(TLVS)).marked(SESSION, None, "id-1"))
        self.assertEqual(header.tlvs, ((tlvs.UNIQUE_ID, b"id-1"),))
        self.assertEqual(read(Introduction(2).marked(SESSION, TLSInfo("TLSv1.3", "x", "a", "h2"), "id-1")).tlvs, ())

    def test_session(self) -> None:
        """A session has one id, whichever servers it is told, and none where none is told; its TLS is that of its record."""
        record = SessionRecord("tcp")
        record.tls = TLSInfo("TLSv1.3", "x", "a.example")
        self.assertEqual(read(Introduction(1).of_session(SESSION, record)).source, CLIENT)
        self.assertEqual(record.session_id, "")
        introduction = Introduction(2, frozenset(["unique_id", "ssl"]))
        one, two = (read(introduction.of_session(SESSION, record)) for _ in range(2))
        self.assertEqual((one, one.unique_id.decode()), (two, record.session_id))
        assert one.tls is not None
        self.assertEqual(one.tls.version, "TLSv1.3")

    def test_passed_through(self) -> None:
        """The name in a ClientHello that was looked at is said; whoever did not look does not know."""
        introduction = Introduction(2, frozenset(["authority"]))
        for sni, said in (("a.example", "a.example"), ("", ""), (None, "")):
            self.assertEqual(read(introduction.of(SessionFacts(CLIENT, LOCAL, sni), None)).authority, said)

    def test_certificates(self) -> None:
        """A common name is read from the subject with its escapes; without one none is said."""
        introduction = Introduction(2, frozenset(["ssl"]))
        for subject, name in (
            ("O=x,CN=Smith\\, Alice", "Smith, Alice"),
            ("O=x", ""),
            ("what is this", ""),
            ("CN=b\\C3\\BCcher", "bücher"),
        ):
            tls = TLSInfo("TLSv1.2", "x", client=certificate(subject))
            found = read(introduction.of(SESSION, tls)).tls
            assert found is not None
            self.assertEqual((found.common_name, found.flags), (name, 7))
        plain = read(introduction.of(SESSION, TLSInfo("TLSv1.2", "x"))).tls
        assert plain is not None
        self.assertEqual((plain.flags, plain.verify, plain.common_name), (1, 1, ""))

    def test_long_ids(self) -> None:
        """An id that a trusted peer gave may be as long as one may be, not longer."""
        header = read(Introduction(2, frozenset(["unique_id"])).marked(SESSION, None, "x" * 200))
        self.assertEqual(header.unique_id, b"x" * 128)
