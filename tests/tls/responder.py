"""OCSP answers as an authority gives them, and as one does that cannot be believed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.tls.authority import NOW, Authority, Issued

__all__ = ["answer", "delegate"]


def answer(
    authority: Authority,
    issued: Issued,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    *,
    signer: Issued | None = None,
    since: float = -1.0,
    hours: float | None = 24.0,
    about: Authority | None = None,
) -> bytes:
    """Return the answer of ``authority`` about ``issued``, of ``since`` hours ago (negative), for ``hours``."""
    revoked = status is ocsp.OCSPCertStatus.REVOKED
    by = signer or authority.issued
    builder: Any = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=issued.certificate,
            issuer=(about or authority).issued.certificate,
            algorithm=hashes.SHA1(),
            cert_status=status,
            this_update=NOW + timedelta(hours=since),
            next_update=NOW + timedelta(hours=since + hours) if hours is not None else None,
            revocation_time=NOW - timedelta(days=1) if revoked else None,
            revocation_reason=None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, by.certificate)
    )
    if signer is not None:
        builder = builder.certificates([signer.certificate])
    found: bytes = builder.sign(by.private, hashes.SHA256()).public_bytes(Encoding.DER)
    return found


def delegate(authority: Authority, *, allowed: bool = True) -> Issued:
    """Return a certificate of somebody who may sign answers for ``authority``, or may not."""
    usage = [ExtendedKeyUsageOID.OCSP_SIGNING] if allowed else [ExtendedKeyUsageOID.SERVER_AUTH]
    return authority.issue("ocsp.example", number=77, usage=tuple(usage))


def refusal() -> bytes:
    """Return an answer that is a refusal."""
    refused = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)
    return refused.public_bytes(Encoding.DER)
