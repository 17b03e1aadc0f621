"""A small certificate authority for tests: certificates of every kind, good and bad, made on the spot."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "Issued", "key_of", "unsigned"]

NOW = datetime.now(UTC).replace(microsecond=0)


@cache
def key_of(kind: str, number: int = 0) -> Any:
    """Return a key of ``kind``, the same one for the same ``number``: RSA keys take long to make."""
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:] or 2048))
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key({"ecdsa": ec.SECP256R1(), "secp256k1": ec.SECP256K1()}[kind])


@dataclass(frozen=True)
class Issued:
    """A certificate with its key."""

    certificate: x509.Certificate
    private: Any

    @property
    def cert(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key(self) -> bytes:
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def encrypted(self, form: Any = serialization.PrivateFormat.PKCS8) -> bytes:
        return self.private.private_bytes(
            serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"secret")
        )

    def write(self, cert: Path, key: Path | None = None, *chain: Issued) -> None:
        """Write the certificate and its ``chain`` to ``cert``, and its key to ``key`` (without one: to ``cert`` too)."""
        text = b"".join(each.cert for each in (self, *chain))
        if key is None:
            cert.touch(0o600)
            cert.write_bytes(text + self.key)
            cert.chmod(0o600)
        else:
            cert.write_bytes(text)
            key.touch(0o600)
            key.write_bytes(self.key)
            key.chmod(0o600)


class Authority:
    """Issues certificates; its own is ``issued``."""

    def __init__(self, name: str = "Test CA", above: Authority | None = None, kind: str = "ecdsa") -> None:
        private = key_of(kind, hash(name))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = above.issued if above is not None else None
        builder = unsigned(subject, signer.certificate.subject if signer else subject, private.public_key(), 3650)
        builder = builder.add_extension(x509.BasicConstraints(True, None), True).add_extension(_CA_USAGE, True)
        self.issued = Issued(builder.sign(signer.private if signer else private, hashes.SHA256()), private)

    def issue(
        self,
        *names: str,
        kind: str = "ecdsa",
        number: int = 0,
        days: float = 90,
        age: float = 1,
        subject: str = "",
        must_staple: bool = False,
        ocsp: str = "",
        client: bool = False,
        extra: tuple[x509.GeneralName, ...] = (),
        signed_with: Any = None,
        usage: tuple[x509.ObjectIdentifier, ...] = (),
    ) -> Issued:
        """Return a certificate for ``names``, valid since ``age`` days ago for ``days`` more."""
        private = key_of(kind, number)
        named = subject or (names[0] if names else "nobody")
        issuer = self.issued
        builder = unsigned(
            x509.Name.from_rfc4514_string(subject)
            if "=" in subject
            else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, named)]),
            issuer.certificate.subject,
            private.public_key(),
            days,
            age,
        )
        alternatives = [_general(name) for name in names] + list(extra)
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), False)
        usual = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage(usage or [usual]), False)
        if must_staple:
            builder = builder.add_extension(x509.TLSFeature([x509.TLSFeatureType.status_request]), False)
        if ocsp:
            access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(ocsp))
            builder = builder.add_extension(x509.AuthorityInformationAccess([access]), False)
        return Issued(builder.sign(issuer.private, signed_with or hashes.SHA256()), private)

    def revoke(self, *revoked: Issued, days: float = 30) -> bytes:
        """Return the list of revoked certificates, good for so many days."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.issued.certificate.subject)
            .last_update(NOW - timedelta(days=5))
            .next_update(NOW + timedelta(days=days))
        )
        for each in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(each.certificate.serial_number)
                .revocation_date(NOW - timedelta(hours=1))
                .build()
            )
        signed = builder.sign(self.issued.private, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)


def unsigned(
    subject: x509.Name, issuer: x509.Name, public: Any, days: float, age: float = 1
) -> x509.CertificateBuilder:
    """Return what a certificate of ``issuer`` for ``subject`` is made of, valid since ``age`` days ago for ``days`` more."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=age))
        .not_valid_after(NOW + timedelta(days=days))
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


_CA_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
