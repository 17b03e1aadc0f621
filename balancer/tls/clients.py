"""The certificate of a client as a value: what matchers, headers and logs want of it, made once for a connection."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from balancer.model.tls import ClientCertificate
from balancer.tls.files import read_file
from balancer.tls.pem import UnusableError, split
from balancer.tls.reading import parsed_any

__all__ = ["client_certificate", "names_with_kinds", "read_client_certificate"]


def read_client_certificate(path: Path) -> ClientCertificate:
    """Return the first certificate in the file at ``path``, as if a client had shown it.

    Raises:
        UnusableError: naming the file and why there is none.
    """
    found = split(read_file(path)[0]).certificates
    if not found:
        raise UnusableError(f"there is no certificate in {path}")
    try:
        return client_certificate(parsed_any(found[:1])[0])
    except ValueError as error:
        raise UnusableError(f"{path}: {error}") from None


def client_certificate(certificate: x509.Certificate) -> ClientCertificate:
    """Return what is to be known of ``certificate``, which the handshake has verified."""
    return ClientCertificate(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        names=names_with_kinds(certificate),
        fingerprint=certificate.fingerprint(SHA256()).hex(),
        serial=f"{certificate.serial_number:x}",
        not_after=certificate.not_valid_after_utc.timestamp(),
        pem=certificate.public_bytes(Encoding.PEM).decode("ascii"),
    )


def names_with_kinds(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the alternative names, each with its kind: ``DNS:a.example``, ``IP:192.0.2.1``, ``URI:spiffe://…``, ``email:…``.

    Kinds that nobody asks for are left out, and so are names that cannot be read.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return ()
    found = []
    for name in names:
        if isinstance(name, x509.DNSName):
            found.append(f"DNS:{name.value}")
        elif isinstance(name, x509.IPAddress):
            found.append(f"IP:{name.value}")
        elif isinstance(name, x509.UniformResourceIdentifier):
            found.append(f"URI:{name.value}")
        elif isinstance(name, x509.RFC822Name):
            found.append(f"email:{name.value}")
    return tuple(found)
