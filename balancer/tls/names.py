"""The names a certificate is for, and the one form in which names are compared."""

from __future__ import annotations

import idna
from cryptography import x509
from cryptography.x509.oid import NameOID

__all__ = ["covers", "has_alternative_names", "names_of", "normal_name", "wildcard_of"]


def normal_name(name: str) -> str:
    """Return ``name`` as certificates and handshakes have it: lower case, ASCII (IDNA), without a dot at the end.

    A name that cannot be written so is returned in lower case: it is nobody's.
    """
    name = name.lower().removesuffix(".")
    if name.isascii():
        return name
    star, rest = ("*.", name[2:]) if name.startswith("*.") else ("", name)
    try:
        return star + idna.encode(rest, uts46=True).decode("ascii")
    except idna.IDNAError:
        return name


def wildcard_of(name: str) -> str:
    """Return the one wildcard that covers ``name`` (RFC 6125 section 6.4.3: one label); "" where none can."""
    label, dot, rest = name.partition(".")
    return f"*.{rest}" if label and dot and rest else ""


def covers(names: tuple[str, ...] | frozenset[str], host: str) -> bool:
    """Whether a certificate for ``names`` is good for ``host``, a normal name."""
    return host in names or (wildcard_of(host) or "-") in names


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the DNS names and IP addresses that ``certificate`` is for, normal, each once.

    The common name counts only where there are no alternative names at all (RFC 6125 section 6.4.4).
    """
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        text = str(common[0].value) if common else ""
        return (normal_name(text),) if text and " " not in text and "." in text else ()
    names = [normal_name(each) for each in extension.get_values_for_type(x509.DNSName)]
    names += [str(each) for each in extension.get_values_for_type(x509.IPAddress)]
    return tuple(dict.fromkeys(names))


def has_alternative_names(chain: bytes) -> bool:
    """Whether the first certificate of ``chain`` (PEM) has alternative names: browsers look at nothing else."""
    certificate = x509.load_pem_x509_certificate(chain)
    try:
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return False
    return True
