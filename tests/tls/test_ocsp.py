"""Tests for :mod:`balancer.tls.ocsp`."""

from __future__ import annotations

import random

from cryptography.x509 import ocsp
from twisted.trial.unittest import SynchronousTestCase

from balancer.tls.ocsp import NotBelievedError, Question, must_staple
from balancer.tls.reading import identity_of
from tests.tls.authority import NOW, Authority, Issued
from tests.tls.responder import answer, delegate, refusal

ROOT = Authority("Root")
SHOP = ROOT.issue("shop.example", ocsp="http://ocsp.example/q")
HOUR = 3600.0
T0 = NOW.timestamp()


def _question(issued: Issued = SHOP, authority: Authority = ROOT) -> Question | None:
    return Question.of(identity_of("a", [issued.cert, authority.issued.cert], issued.key))


class QuestionTests(SynchronousTestCase):
    """Asking, and believing."""

    def setUp(self) -> None:
        question = _question()
        assert question is not None
        self.question = question

    def _not_believed(self, data: bytes, now: float = T0) -> str:
        return str(self.assertRaises(NotBelievedError, self.question.verified, data, now))

    def test_question(self) -> None:
        """Where to ask is in the certificate, and who issued it in the chain; without either there is no question."""
        self.assertEqual(self.question.url, "http://ocsp.example/q")
        request = ocsp.load_der_ocsp_request(self.question.body)
        self.assertEqual(request.serial_number, SHOP.certificate.serial_number)
        self.assertIsNone(_question(ROOT.issue("a.example")))
        self.assertIsNone(_question(ROOT.issue("a.example", ocsp="ldap://x")))
        self.assertIsNone(Question.of(identity_of("a", [SHOP.cert], SHOP.key)))

    def test_good(self) -> None:
        """The issuer's own answer, or that of somebody it has named; asked for again after half of its time."""
        for signer in (None, delegate(ROOT)):
            data = answer(ROOT, SHOP, signer=signer)
            staple = self.question.verified(data, T0)
            self.assertEqual(staple.der, data)
            self.assertEqual((staple.since, staple.until), (T0 - HOUR, T0 + 23 * HOUR))
            self.assertEqual(staple.renewal, T0 + 11 * HOUR)
        self.assertEqual(self.question.verified(answer(ROOT, SHOP, hours=None), T0).until, T0 + HOUR)

    def test_rsa(self) -> None:
        """Authorities with RSA keys too."""
        authority = Authority("RSA", kind="rsa")
        issued = authority.issue("shop.example", ocsp="http://ocsp.example")
        question = _question(issued, authority)
        assert question is not None
        question.verified(answer(authority, issued), T0)

    def test_signatures(self) -> None:
        """An answer by anybody else is not believed, whatever certificates come with it."""
        other = Authority("Other")
        self.assertIn("not signed by the certificate's issuer", self._not_believed(answer(other, SHOP, about=ROOT)))
        text = self._not_believed(answer(ROOT, SHOP, signer=delegate(ROOT, allowed=False)))
        self.assertIn("has not given the right to", text)
        text = self._not_believed(answer(ROOT, SHOP, signer=delegate(other)))
        self.assertIn("has not given the right to", text)

    def test_about_another(self) -> None:
        """An answer about another certificate, or another issuer's, is not believed."""
        self.assertIn("about another", self._not_believed(answer(ROOT, ROOT.issue("b.example"))))
        self.assertIn("about another", self._not_believed(answer(ROOT, SHOP, about=Authority("Other"))))

    def test_time(self) -> None:
        """An answer of the past or the future is not believed; our clock may be a little slow."""
        data = answer(ROOT, SHOP)
        self.assertIn("out of date since", self._not_believed(data, T0 + 23 * HOUR))
        self.assertIn("yet to come", self._not_believed(data, T0 - HOUR - 301))
        self.question.verified(data, T0 - HOUR - 299)

    def test_status(self) -> None:
        """Revoked, unknown, and no answer at all."""
        error = self.assertRaises(
            NotBelievedError, self.question.verified, answer(ROOT, SHOP, ocsp.OCSPCertStatus.REVOKED), T0
        )
        self.assertIn("the certificate is revoked since", str(error))
        self.assertTrue(error.revoked)
        self.assertIn("does not know", self._not_believed(answer(ROOT, SHOP, ocsp.OCSPCertStatus.UNKNOWN)))
        self.assertIn("answers try_later", self._not_believed(refusal()))
        self.assertIn("cannot be read", self._not_believed(b"<html>"))

    def test_damaged(self) -> None:
        """Whatever single byte of an answer is changed, it is not believed, or it says the same."""
        data = answer(ROOT, SHOP)
        chance = random.Random(1)
        for at in range(len(data)):
            damaged = bytearray(data)
            damaged[at] ^= 1 << chance.randrange(8)
            try:
                staple = self.question.verified(bytes(damaged), T0)
            except NotBelievedError:
                continue
            self.assertEqual(staple.until, T0 + 23 * HOUR, at)

    def test_must_staple(self) -> None:
        """Some certificates are refused by clients without a staple."""
        for wanted in (False, True):
            issued = ROOT.issue("a.example", must_staple=wanted)
            self.assertEqual(must_staple(identity_of("a", [issued.cert], issued.key)), wanted)
