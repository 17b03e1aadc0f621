"""Tests for :mod:`balancer.tls.pem`."""

from __future__ import annotations

from cryptography.hazmat.primitives import serialization
from twisted.trial.unittest import SynchronousTestCase

from balancer.tls.pem import UnusableError, split
from tests.tls.authority import Authority

AUTHORITY = Authority()
SHOP = AUTHORITY.issue("shop.example")


class SplitTests(SynchronousTestCase):
    """Blocks of a file."""

    def _refused(self, data: bytes) -> str:
        return str(self.assertRaises(UnusableError, split, data))

    def test_blocks(self) -> None:
        """Certificates and keys in their order, whatever text is around them and whichever line ends."""
        data = b"Bag Attributes\n" + SHOP.cert + b"more\n" + SHOP.key + AUTHORITY.issued.cert
        for given in (data, data.replace(b"\n", b"\r\n")):
            found = split(given)
            self.assertEqual(len(found.certificates), 2)
            self.assertEqual(len(found.keys), 1)
        self.assertEqual(split(data).certificates[0], SHOP.cert)

    def test_parameters_are_passed_over(self) -> None:
        """OpenSSL writes the curve before the key."""
        data = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + SHOP.key
        self.assertEqual(split(data).keys, (SHOP.key,))

    def test_encrypted(self) -> None:
        """An encrypted key is refused, in both forms, with the way to mend it."""
        for form in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL):
            text = self._refused(SHOP.cert + SHOP.encrypted(form))
            self.assertIn("the key is encrypted", text)
            self.assertIn("openssl pkey -in OLD -out NEW", text)

    def test_others(self) -> None:
        """What else people put into such files is named."""
        for label, expected in [
            ("CERTIFICATE REQUEST", "a request for a certificate"),
            ("OPENSSH PRIVATE KEY", "a key of OpenSSH"),
            ("DSA PRIVATE KEY", "a DSA key"),
            ("X509 CRL", "a list of revoked certificates"),
            ("SOMETHING ELSE", "a block 'SOMETHING ELSE'"),
        ]:
            text = self._refused(f"-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n".encode())
            self.assertIn(expected, text)

    def test_no_pem(self) -> None:
        """A file that is empty, cut off, binary or something else says which."""
        self.assertIn("empty", self._refused(b" \n"))
        self.assertIn("cut off", self._refused(SHOP.cert[:-20]))
        self.assertIn("cut off", self._refused(SHOP.cert + SHOP.key[:40]))
        der = SHOP.certificate.public_bytes(serialization.Encoding.DER)
        self.assertIn("DER", self._refused(der))
        self.assertIn("expected PEM text", self._refused(b"hello"))
