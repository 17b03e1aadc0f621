"""Tests for :mod:`balancer.tls.clients`."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from twisted.trial.unittest import SynchronousTestCase

from balancer.tls.clients import client_certificate
from tests.tls.authority import NOW, Authority

AUTHORITY = Authority("Example CA")


class ClientCertificateTests(SynchronousTestCase):
    """A client's certificate as a value."""

    def test_everything(self) -> None:
        """Names with their kinds, numbers in hexadecimal, the certificate itself."""
        issued = AUTHORITY.issue(
            "a.example",
            "192.0.2.1",
            subject="CN=alice\\, the first,O=Example",
            client=True,
            extra=(
                x509.RFC822Name("alice@example.org"),
                x509.UniformResourceIdentifier("spiffe://example.org/alice"),
                x509.RegisteredID(x509.ObjectIdentifier("1.2.3.4")),
            ),
        )
        found = client_certificate(issued.certificate)
        self.assertEqual(found.subject, "CN=alice\\, the first,O=Example")
        self.assertEqual(found.issuer, "CN=Example CA")
        self.assertEqual(
            found.names,
            ("DNS:a.example", "IP:192.0.2.1", "email:alice@example.org", "URI:spiffe://example.org/alice"),
        )
        self.assertEqual(found.fingerprint, issued.certificate.fingerprint(SHA256()).hex())
        self.assertEqual(int(found.serial, 16), issued.certificate.serial_number)
        self.assertEqual(found.not_after - NOW.timestamp(), 90 * 86400)
        self.assertEqual(found.pem.encode(), issued.cert)

    def test_no_names(self) -> None:
        """A certificate without alternative names."""
        self.assertEqual(client_certificate(AUTHORITY.issue(subject="CN=bob").certificate).names, ())
