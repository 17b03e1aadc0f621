"""Tests for :mod:`balancer.acme.conversation`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from twisted.trial.unittest import SynchronousTestCase

from balancer.acme.conversation import order, preferred_of, term_of
from balancer.acme.faults import OrderError
from balancer.acme.schedule import RATE_LIMITED
from balancer.acme.storage import Storage
from balancer.acme.wanted import Wanted
from balancer.config.acme import Acme
from tests.acme.stub import StubAuthority
from tests.tls.authority import Authority

SECRET = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


class StubTestCase(SynchronousTestCase):
    """An authority on loopback, and a storage."""

    def setUp(self) -> None:
        self.at = Path(self.mktemp()).absolute()
        self.at.mkdir()
        self.stub = StubAuthority(self.at, {"kid-1": SECRET, "kid-2": SECRET})
        self.addCleanup(self.stub.close)
        self.storage = Storage(str(self.at / "storage"), self.stub.directory)
        self.storage.prepare()

    def wanted(self, *names: str, **more: Any) -> Wanted:
        where = {"directory": self.stub.directory, "storage": str(self.at / "storage"), "ca": str(self.stub.ca)}
        return Wanted(names or ("a.example",), Acme(agree_terms=True, **where, **more))

    def order(self, *names: str, replaces: str = "", **more: Any) -> bytes:
        return order(self.wanted(*names, **more), self.storage, self._present, replaces)

    def _present(self, place: str, proof: str, there: bool) -> None:
        raise AssertionError("everything has been proved already")

    def refused(self, **more: Any) -> OrderError:
        """Return why there is no certificate."""
        with self.assertRaises(OrderError) as raised:
            self.order(**more)
        return raised.exception


class ConversationTests(StubTestCase):
    """What authorities are asked for, and what is made of their answers."""

    def test_names(self) -> None:
        """All names are in one certificate, with a key that is new, and the chain."""
        pem = self.order("a.example", "*.a.example", "b.example")
        leaf, issuer = x509.load_pem_x509_certificates(pem)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(names.get_values_for_type(x509.DNSName), ["a.example", "*.a.example", "b.example"])
        leaf.verify_directly_issued_by(issuer)
        key = load_pem_private_key(pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self.assertEqual((key.public_key(), key.curve.name), (leaf.public_key(), "secp256r1"))
        self.assertEqual(self.stub.orders[0]["identifiers"][1], {"type": "dns", "value": "*.a.example"})
        self.assertEqual(set(self.stub.orders[0]) - {"csr"}, {"identifiers"})

    def test_key_types(self) -> None:
        """The kinds of key that there are."""
        rsa_key = load_pem_private_key(self.order(key_type="rsa-2048"), None)
        assert isinstance(rsa_key, rsa.RSAPrivateKey)
        self.assertEqual(rsa_key.key_size, 2048)
        ec_key = load_pem_private_key(self.order(key_type="ecdsa-p384"), None)
        assert isinstance(ec_key, ec.EllipticCurvePrivateKey)
        self.assertEqual(ec_key.curve.name, "secp384r1")

    def test_chain(self) -> None:
        """The chain to the root that is preferred is taken, where there is one; else the first."""
        for root, issuer in [("", "Stub Issuer"), ("Other Root", "Other Issuer"), ("No Root", "Stub Issuer")]:
            leaf = x509.load_pem_x509_certificate(self.order(preferred_chain=root))
            self.assertEqual(leaf.issuer.rfc4514_string(), f"CN={issuer}")

    def test_preferred(self) -> None:
        """What counts is who issued the last certificate of a chain."""
        one, other = (
            Authority("One").issue("a.example").cert.decode(),
            Authority("Other").issue("a.example").cert.decode(),
        )
        self.assertEqual(preferred_of([one, other], "Other"), other)
        self.assertEqual(preferred_of([one, other], "a.example"), one)

    def test_profile(self) -> None:
        """A profile is asked for; one that the authority has not is refused before anything is ordered."""
        self.stub.profiles = {"classic": "https://a/", "shortlived": "https://b/"}
        self.stub.days = 6
        term = term_of(self.order(profile="shortlived"))
        self.assertEqual(round((term.ends - term.begins) / 86400), 6)
        self.assertEqual(self.stub.orders[0]["profile"], "shortlived")
        error = self.refused(profile="tiny")
        self.assertEqual(str(error), "the authority has no profile 'tiny'; it has: classic, shortlived")
        self.assertEqual(len(self.stub.orders), 1)

    def test_replaces(self) -> None:
        """A renewal says what it replaces, where the authority knows of such; what has been replaced already does not keep it from being issued."""
        self.order(replaces="aaa.bbb")
        self.order(replaces="aaa.bbb")
        self.assertEqual([each.get("replaces") for each in self.stub.orders], ["aaa.bbb", None])
        self.stub.suggests = False
        self.order(replaces="ccc.ddd")
        self.assertNotIn("replaces", self.stub.orders[-1])

    def test_asked_too_often(self) -> None:
        """It waits as long as the authority says, an hour at least where it only says that it was too often."""
        answers = [(429, "rateLimited", {"Retry-After": "7200"}), (429, "rateLimited", {})]
        self.stub.refuse = lambda what: answers.pop(0) if what == "order" else None
        error = self.refused()
        self.assertEqual((error.wait, error.alone), (7200.0, False))
        self.assertEqual(str(error), "the authority refused: rateLimited: the stub says rateLimited")
        self.assertEqual(self.refused().wait, RATE_LIMITED)

    def test_busy(self) -> None:
        """So it does where the authority is out of service for a while."""
        self.stub.refuse = lambda what: (503, "serverInternal", {"Retry-After": "600"}) if what == "order" else None
        self.assertEqual(self.refused().wait, 600.0)

    def test_name_refused(self) -> None:
        """What is wrong with a name is that name's alone."""
        self.stub.refuse = lambda what: (403, "rejectedIdentifier", {}) if what == "order" else None
        self.assertTrue(self.refused().alone)

    def test_not_believed(self) -> None:
        """A directory whose certificate is another authority's is not spoken to."""
        ca = self.at / "other.pem"
        ca.write_bytes(Authority("Somebody").issued.cert)
        with self.assertRaises(OrderError) as raised:
            settings = self.wanted().acme.model_copy(update={"ca": str(ca)})
            order(Wanted(("a.example",), settings), self.storage, self._present)
        self.assertIn("the directory's certificate is not believed", str(raised.exception))
        self.assertEqual(self.stub.asked, [])
