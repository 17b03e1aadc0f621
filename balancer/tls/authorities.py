"""Whose signature makes a client's certificate good, and which certificates they have taken back."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from balancer.tls.pem import UnusableError, split
from balancer.tls.reading import parsed_any, words_for

__all__ = ["Authorities", "read_authorities"]

_CRL_BEGIN = b"-----BEGIN X509 CRL-----"
_CRL_END = b"-----END X509 CRL-----"


@dataclass(frozen=True, slots=True)
class Authorities:
    """Certificates of authorities and their lists of revoked certificates, each as PEM; ``crls`` empty for no list.

    ``until`` is when the first of the lists is out of date, in seconds since the epoch: from then on no client of its authority
    is let in, for who knows what has been revoked since.
    """

    certificates: tuple[bytes, ...]
    crls: tuple[bytes, ...] = ()
    until: float = math.inf

    def __repr__(self) -> str:
        return f"<Authorities {len(self.certificates)}, {len(self.crls)} lists>"


def read_authorities(ca: bytes, crl: bytes = b"") -> Authorities:
    """Return what is in ``ca`` and, where there are any, the lists in ``crl``.

    Raises:
        UnusableError: saying what is wrong.
    """
    pem = split(ca)
    if not pem.certificates:
        raise UnusableError("there is no certificate of an authority in it")
    if pem.keys:
        raise UnusableError("there is a key in it: only the authorities' certificates belong here")
    try:
        certificates = parsed_any(pem.certificates)
    except ValueError as error:
        raise UnusableError(str(error)) from None
    for certificate in certificates:
        if not _is_authority(certificate):
            name = certificate.subject.rfc4514_string()
            raise UnusableError(f"{name or 'one of its certificates'} is no authority: it may not sign certificates")
    lists = tuple(_lists(crl)) if crl else ()
    if crl and not lists:
        raise UnusableError("there is no list of revoked certificates in it ('-----BEGIN X509 CRL-----')")
    names = {certificate.subject for certificate in certificates}
    until = math.inf
    for text in lists:
        try:
            found = x509.load_pem_x509_crl(text)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise UnusableError(f"a list of revoked certificates cannot be read: {words_for(error)}") from None
        if found.issuer not in names:
            raise UnusableError(f"the list of {found.issuer.rfc4514_string()} is none of an authority in 'ca'")
        if found.next_update_utc is not None:
            until = min(until, found.next_update_utc.timestamp())
    return Authorities(pem.certificates, lists, until)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return certificate.issuer == certificate.subject  # of the time before there were extensions


def _lists(crl: bytes) -> list[bytes]:
    found = []
    at = crl.find(_CRL_BEGIN)
    while at >= 0:
        end = crl.find(_CRL_END, at)
        if end < 0:
            raise UnusableError("a PEM block has no end: the file is cut off, or being written")
        found.append(crl[at : end + len(_CRL_END)] + b"\n")
        at = crl.find(_CRL_BEGIN, end)
    return found
