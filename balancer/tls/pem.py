"""PEM files as blocks: which certificates and which key are in a file, and what else somebody put there by mistake."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Pem", "UnusableError", "split"]

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n(.*?)-----END \1-----", re.DOTALL)
_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_KEYS = frozenset(["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"])
_CERTIFICATES = frozenset(["CERTIFICATE", "X509 CERTIFICATE"])
_IGNORED = frozenset(["EC PARAMETERS", "DH PARAMETERS"])
_OTHERS = {
    "CERTIFICATE REQUEST": "a request for a certificate: what the authority made of it is needed",
    "NEW CERTIFICATE REQUEST": "a request for a certificate: what the authority made of it is needed",
    "TRUSTED CERTIFICATE": "a certificate in OpenSSL's own form (mend: openssl x509 -in OLD -out NEW)",
    "OPENSSH PRIVATE KEY": "a key of OpenSSH (mend: ssh-keygen -p -m PKCS8 -f FILE)",
    "DSA PRIVATE KEY": "a DSA key, which no client accepts",
    "PUBLIC KEY": "a public key",
    "X509 CRL": "a list of revoked certificates",
    "PKCS7": "a PKCS #7 bundle (mend: openssl pkcs7 -print_certs -in OLD -out NEW)",
}


class UnusableError(ValueError):
    """A file cannot be used; the text says why and, where there is something to do, what."""


@dataclass(frozen=True, slots=True)
class Pem:
    """What is in a PEM file: ``certificates`` and ``keys``, each block as PEM, in the file's order."""

    certificates: tuple[bytes, ...]
    keys: tuple[bytes, ...]


def split(data: bytes) -> Pem:
    """Return the blocks of ``data``; text around them is passed over.

    Raises:
        UnusableError: for what is no PEM, a block without its end, an encrypted key, or something that is neither
            certificate nor key.
    """
    certificates: list[bytes] = []
    keys: list[bytes] = []
    seen = 0
    for found in _BLOCK.finditer(data):
        seen += 1
        label = found[1].decode("ascii")
        if label == "ENCRYPTED PRIVATE KEY" or (label in _KEYS and b"ENCRYPTED" in found[2]):
            raise UnusableError(
                "the key is encrypted, and nobody could type its pass phrase (mend: openssl pkey -in OLD -out NEW)"
            )
        if label in _CERTIFICATES:
            certificates.append(found[0] + b"\n")
        elif label in _KEYS:
            keys.append(found[0] + b"\n")
        elif label not in _IGNORED:
            raise UnusableError(f"expected certificates and keys, got {_OTHERS.get(label, f'a block {label!r}')}")
    if len(_BEGIN.findall(data)) != seen:
        raise UnusableError("a PEM block has no end: the file is cut off, or being written")
    if not seen:
        raise UnusableError(_without_blocks(data))
    return Pem(tuple(certificates), tuple(keys))


def _without_blocks(data: bytes) -> str:
    if not data.strip():
        return "the file is empty"
    if data.startswith(b"\x30"):
        return "expected PEM text, got what looks like DER or PKCS #12 (mend: openssl x509 -inform der, or openssl pkcs12 -nodes)"
    return "expected PEM text ('-----BEGIN CERTIFICATE-----')"
