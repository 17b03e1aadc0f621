"""Tests for :mod:`balancer.tls.validation`."""

from __future__ import annotations

import hashlib

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from balancer.tls.choice import Choice
from balancer.tls.client_contexts import ClientContext, ClientSettings
from balancer.tls.library import Library
from balancer.tls.server_contexts import ServerContexts, ServerSession, ServerSettings
from balancer.tls.stand_in import stand_in
from balancer.tls.validation import ACME_TLS, Validations, proof_identity
from tests.tls.conversations import CA, SHOP, Split, Talk, bytewise, identity, libraries, whole

IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
PROOF = "token.thumbprint"


def _is_proof(der: bytes, name: str, proof: str) -> bool:
    """Look at a certificate as RFC 8737 section 3 has an authority look."""
    certificate = x509.load_der_x509_certificate(der)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    found = certificate.extensions.get_extension_for_oid(IDENTIFIER)
    value = found.value
    assert isinstance(value, x509.UnrecognizedExtension)
    return (
        list(names) == [x509.DNSName(name)]
        and found.critical
        and value.value == b"\x04\x20" + hashlib.sha256(proof.encode()).digest()
    )


class ValidationTests(SynchronousTestCase):
    """An authority is shown the proof, with each library, however its hello is cut."""

    def setUp(self) -> None:
        self.proofs = {"shop.example": PROOF}

    def _contexts(self, library: Library, choice: Choice | None = None, **settings: object) -> ServerContexts:
        choice = choice or Choice([identity(SHOP)])
        made = ServerSettings("web", **{"alpn": ("h2", "http/1.1"), **settings})  # type: ignore[arg-type]
        return ServerContexts(made, choice, None, None, library, self.proofs)

    def _talk(
        self, contexts: ServerContexts, name: str, *alpn: str, split: Split = whole, verify: bool = False
    ) -> Talk:
        context = ClientContext(ClientSettings(verify, CA.issued.cert if verify else None), contexts.library)
        return Talk(context.session(name, alpn=alpn), contexts.session(), split)

    def test_shown(self) -> None:
        """Who speaks acme-tls/1 alone, and asks for a name that is being proved, sees that name's proof."""
        for library in libraries():
            for split in (whole, bytewise):
                contexts = self._contexts(library)
                talk = self._talk(contexts, "shop.example", ACME_TLS, split=split)
                self.assertTrue(talk.client.established and talk.server.established)
                self.assertEqual(talk.client.alpn, ACME_TLS)
                self.assertTrue(_is_proof(talk.client.peer_certificate or b"", "shop.example", PROOF))
                self.assertTrue(talk.server.proves)  # type: ignore[attr-defined]

    def test_others(self) -> None:
        """Everybody else sees what is always shown: other protocols beside it, another name, none at all."""
        for library in libraries():
            contexts = self._contexts(library)
            offers: list[tuple[str, ...]] = [
                ("shop.example",),
                ("shop.example", "h2"),
                ("shop.example", "h2", ACME_TLS),
                ("shop.example", ACME_TLS, "http/1.1"),
            ]
            for name, *alpn in offers:
                for split in (whole, bytewise):
                    talk = self._talk(contexts, name, *alpn, split=split, verify=True)
                    self.assertTrue(talk.client.established, talk.client.fault)
                    self.assertFalse(talk.server.proves)  # type: ignore[attr-defined]
                    self.assertNotEqual(talk.client.alpn, ACME_TLS)
                    self.assertEqual(talk.says(talk.client, b"hello"), b"hello")
            talk = self._talk(contexts, "other.example", ACME_TLS)
            self.assertFalse(talk.client.established)
            self.assertIn("the client speaks acme-tls/1", str(talk.server.fault))

    def test_settings(self) -> None:
        """Nothing of the listener's settings is in the way: strict names, no certificate yet, clients' certificates, TLS 1.3 alone, no ALPN."""
        waiting = stand_in(("shop.example",))
        for library in libraries():
            for contexts in (
                self._contexts(library, Choice([waiting], strict=True)),
                self._contexts(library, Choice([identity(SHOP, "b", "ecdsa", "b.example")], strict=True)),
                self._contexts(library, client_auth="require"),
                self._contexts(library, profile="modern"),
                self._contexts(library, alpn=()),
            ):
                talk = self._talk(contexts, "shop.example", ACME_TLS)
                self.assertTrue(talk.client.established and talk.server.established, talk.server.fault)
                self.assertTrue(_is_proof(talk.client.peer_certificate or b"", "shop.example", PROOF))

    def test_over(self) -> None:
        """When it is over nothing is shown any more, and connections are not looked at."""
        for library in libraries():
            contexts = self._contexts(library)
            kept = dict(self.proofs)
            self.proofs.clear()
            talk = self._talk(contexts, "shop.example", ACME_TLS)
            self.assertFalse(talk.server.established)
            self.assertIs(type(talk.server), ServerSession)
            self.proofs.update(kept)

    def test_replaced(self) -> None:
        """Another proof for the same name has another certificate; one proof has one."""
        validations = Validations(self.proofs, libraries()[0])
        first = validations.context("shop.example")
        self.assertIs(validations.context("shop.example"), first)
        self.proofs["shop.example"] = "another"
        second = validations.context("shop.example")
        self.assertIsNotNone(second)
        self.assertIsNot(first, second)
        self.assertIsNone(validations.context("other.example"))

    def test_nonsense(self) -> None:
        """What is no hello at all is refused as ever."""
        for library in libraries():
            session = self._contexts(library).session()
            self.assertEqual(session.receive(b"GET / HTTP/1.1\r\n\r\n"), b"")
            self.assertIsNotNone(session.fault)

    def test_identity(self) -> None:
        """The certificate is new each time, and for the name alone."""
        one, other = proof_identity("a.example", PROOF), proof_identity("a.example", PROOF)
        self.assertEqual(one.names, ("a.example",))
        self.assertNotEqual(one.key, other.key)
