"""Tests for :mod:`balancer.forwarding.certified`."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.serialization import Encoding
from twisted.trial.unittest import SynchronousTestCase

from balancer.forwarding.certified import client_certificate_fields
from balancer.model.tls import ClientCertificate
from balancer.tls.clients import client_certificate
from tests.tls.authority import Authority


class FieldsTests(SynchronousTestCase):
    """Fields about a client's certificate."""

    def test_fields(self) -> None:
        """A field for each part, and the certificate as a byte sequence of structured fields (RFC 9440 section 2.1)."""
        issued = Authority("Example CA").issue("a.example", "b.example", subject="CN=alice,O=Example", client=True)
        found = dict(client_certificate_fields(client_certificate(issued.certificate)))
        self.assertEqual(found[b"X-Client-Cert-Subject"], b"CN=alice,O=Example")
        self.assertEqual(found[b"X-Client-Cert-Issuer"], b"CN=Example CA")
        self.assertEqual(found[b"X-Client-Cert-SAN"], b"DNS:a.example, DNS:b.example")
        self.assertEqual(int(found[b"X-Client-Cert-Serial"], 16), issued.certificate.serial_number)
        self.assertEqual(len(found[b"X-Client-Cert-Fingerprint"]), 64)
        value = found[b"Client-Cert"]
        self.assertEqual((value[:1], value[-1:]), (b":", b":"))
        self.assertEqual(base64.b64decode(value[1:-1]), issued.certificate.public_bytes(Encoding.DER))

    def test_hostile(self) -> None:
        """Nothing in a certificate makes another field, or another name, of it; what is empty is left out."""
        client = ClientCertificate(
            "CN=a\r\nX-Admin: 1", "", ("URI:spiffe://a, DNS:admin.example", "email:ü@a"), "ab", "1", 0.0, ""
        )
        found = dict(client_certificate_fields(client))
        self.assertEqual(found[b"X-Client-Cert-Subject"], b"CN=a%0D%0AX-Admin: 1")
        self.assertEqual(found[b"X-Client-Cert-SAN"], "URI:spiffe://a%2C DNS:admin.example, email:ü@a".encode())
        self.assertNotIn(b"X-Client-Cert-Issuer", found)
        self.assertNotIn(b"Client-Cert", found)
