"""Tests for :mod:`balancer.tls.reading`."""

from __future__ import annotations

from pathlib import Path
from subprocess import run

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from twisted.trial.unittest import SynchronousTestCase

from balancer.tls.reading import Source, UnusableCertificateError, identity_of, read_identity
from tests.tls.authority import Authority, Issued, key_of

ROOT = Authority("Root")
MIDDLE = Authority("Middle", ROOT)
SHOP = MIDDLE.issue("shop.example", "*.shop.example")


class ReadingTests(SynchronousTestCase):
    """Certificates from files."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.cert, self.key, self.chain = (self.directory / name for name in ("a.pem", "a.key", "chain.pem"))

    def _problems(self, source: Source) -> list[tuple[str, str]]:
        error = self.assertRaises(UnusableCertificateError, read_identity, source)
        return [(part, text.replace(str(self.directory), "DIR")) for part, text in error.problems]

    def test_separate(self) -> None:
        """Certificate and chain in one file, the key in another."""
        SHOP.write(self.cert, self.key, MIDDLE.issued)
        found = read_identity(Source("a.pem", self.cert, self.key))
        self.assertEqual(repr(found), "<Identity a.pem ecdsa for shop.example, *.shop.example>")
        self.assertEqual(found.chain, SHOP.cert + MIDDLE.issued.cert)
        self.assertEqual(found.key, SHOP.key)
        self.assertEqual(found.fingerprint, SHOP.certificate.fingerprint(hashes.SHA256()).hex())
        self.assertEqual(int(found.serial, 16), SHOP.certificate.serial_number)
        self.assertEqual(found.not_after - found.not_before, 91 * 86400)

    def test_combined(self) -> None:
        """All in one file, in any order of key and certificates."""
        SHOP.write(self.cert, None, MIDDLE.issued)
        first = read_identity(Source("a.pem", self.cert))
        self.cert.write_bytes(SHOP.key + SHOP.cert + MIDDLE.issued.cert)
        self.assertEqual(read_identity(Source("a.pem", self.cert)), first)

    def test_chain_of_its_own(self) -> None:
        """The rest of the chain in a third file."""
        SHOP.write(self.cert, self.key)
        self.chain.write_bytes(MIDDLE.issued.cert + ROOT.issued.cert)
        found = read_identity(Source("a.pem", self.cert, self.key, self.chain))
        self.assertEqual(found.chain.count(b"BEGIN CERTIFICATE"), 3)

    def test_kinds(self) -> None:
        """RSA, ECDSA and Ed25519 keys."""
        for kind in ("rsa", "ecdsa", "ed25519"):
            issued = ROOT.issue("a.example", kind=kind)
            self.assertEqual(identity_of("a", [issued.cert], issued.key).kind, kind)

    def test_missing(self) -> None:
        """Every file that is missing or empty is named, all at once."""
        self.assertEqual(
            self._problems(Source("a", self.cert, self.key, self.chain)),
            [
                (part, f"cannot read DIR/{name}: No such file or directory")
                for part, name in (("cert", "a.pem"), ("key", "a.key"), ("chain", "chain.pem"))
            ],
        )
        self.cert.write_bytes(SHOP.key)
        self.cert.chmod(0o600)
        self.key.write_bytes(SHOP.cert)
        self.assertEqual(
            self._problems(Source("a", self.cert, self.key)),
            [("cert", "there is no certificate in DIR/a.pem"), ("key", "there is no key in DIR/a.key")],
        )
        self.cert.write_bytes(SHOP.cert)
        self.assertEqual(
            self._problems(Source("a", self.cert)),
            [("cert", "there is no key in DIR/a.pem, nor is there one beside it")],
        )

    def test_rights(self) -> None:
        """A key that everybody can read is refused, in a combined file too."""
        SHOP.write(self.cert, self.key)
        self.key.chmod(0o644)
        ((part, text),) = self._problems(Source("a", self.cert, self.key))
        self.assertEqual(part, "key")
        self.assertIn("the key DIR/a.key has the mode 0644", text)
        SHOP.write(self.cert)
        self.cert.chmod(0o644)
        ((part, text),) = self._problems(Source("a", self.cert))
        self.assertEqual(part, "cert")

    def test_anothers_key(self) -> None:
        """A key of another certificate is found out."""
        SHOP.write(self.cert, self.key)
        self.key.write_bytes(ROOT.issue("a.example", number=7).key)
        ((part, text),) = self._problems(Source("a", self.cert, self.key))
        self.assertEqual(part, "key")
        self.assertEqual(text, "the key is not that of the certificate (CN=shop.example): one of the two is another's")

    def test_order(self) -> None:
        """The certificate is the first, and each is issued by the next."""
        for chain, expected in [
            ((MIDDLE.issued, SHOP), "the certificate of the key is number 2 in the file: it must be the first"),
            (
                (SHOP, ROOT.issued, MIDDLE.issued),
                "certificate 2 (CN=Root) did not issue certificate 1 (CN=shop.example)",
            ),
            ((SHOP, Authority("Other").issued), "certificate 2 (CN=Other) did not issue"),
        ]:
            self.cert.write_bytes(b"".join(each.cert for each in chain))
            self.key.write_bytes(SHOP.key)
            self.key.chmod(0o600)
            ((part, text),) = self._problems(Source("a", self.cert, self.key))
            self.assertEqual(part, "cert")
            self.assertIn(expected, text)

    def test_weak(self) -> None:
        """Keys and signatures that no client accepts are refused, not served."""
        for issued, expected in [
            (ROOT.issue("a.example", kind="rsa1024"), "RSA of 1024 bits, at least 2048 are needed"),
            (ROOT.issue("a.example", kind="secp256k1"), "on the curve secp256k1"),
            (self._signed_with_sha1(), "signed with SHA1"),
        ]:
            error = self.assertRaises(UnusableCertificateError, identity_of, "a", [issued.cert], issued.key)
            self.assertIn(expected, str(error))

    def _signed_with_sha1(self) -> Issued:
        command = (
            "openssl req -x509 -sha1 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=a.example -keyout"
        )
        run([*command.split(), str(self.key), "-out", str(self.cert)], check=True, capture_output=True)
        private = serialization.load_pem_private_key(self.key.read_bytes(), None)
        return Issued(x509.load_pem_x509_certificate(self.cert.read_bytes()), private)

    def test_damaged(self) -> None:
        """A key whose secret half is damaged is found out before a client is."""
        private = key_of("rsa", 0)
        numbers = private.private_numbers()
        damaged = type(numbers)(
            numbers.p, numbers.q, numbers.d ^ 2, numbers.dmp1 ^ 2, numbers.dmq1, numbers.iqmp, numbers.public_numbers
        ).private_key(unsafe_skip_rsa_key_validation=True)
        whole = ROOT.issue("a.example", kind="rsa")
        key = Issued(whole.certificate, damaged).key
        error = self.assertRaises(UnusableCertificateError, identity_of, "a", [whole.cert], key)
        self.assertIn("the key is damaged", str(error))

    def test_garbage(self) -> None:
        """What is called a certificate or a key and is none."""
        garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        error = self.assertRaises(UnusableCertificateError, identity_of, "a", [SHOP.cert, garbage], SHOP.key)
        self.assertIn("certificate 2 of the file cannot be read", str(error))
        key = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
        error = self.assertRaises(UnusableCertificateError, identity_of, "a", [garbage], key)
        self.assertEqual([part for part, _ in error.problems], ["cert", "key"])
        many = [SHOP.cert] * 11
        error = self.assertRaises(UnusableCertificateError, identity_of, "a", many, SHOP.key)
        self.assertIn("got 11 certificates", str(error))

    def test_encrypted(self) -> None:
        """An encrypted key is named with its file."""
        SHOP.write(self.cert, self.key)
        self.key.write_bytes(SHOP.encrypted(serialization.PrivateFormat.PKCS8))
        ((part, text),) = self._problems(Source("a", self.cert, self.key))
        self.assertEqual(part, "key")
        self.assertTrue(text.startswith("DIR/a.key: the key is encrypted"), text)
