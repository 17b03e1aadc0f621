"""OCSP (RFC 6960): what is asked of a certificate's authority, and what of its answer is believed. Pure: no I/O.

::

    identity ──Question.of──> Question(url, body) ──somebody posts it──> bytes ──Question.verified──> Staple

An answer is believed if the issuer of the certificate has signed it, or somebody to whom the issuer gave the right to; if it
is about this certificate; if it is of now; and if it says that the certificate is good.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from balancer.tls.identity import Identity
from balancer.tls.pem import split
from balancer.tls.reading import parsed, words_for
from balancer.tls.validity import moment

__all__ = ["NotBelievedError", "Question", "Staple", "must_staple"]

SKEW = 300.0
"""Seconds that an authority's clock may be ahead of ours."""
_WITHOUT_END = 3600.0
"""Seconds for which an answer is good that does not say for how long."""


class NotBelievedError(ValueError):
    """An answer is none, or not to be believed; the text says why. ``revoked`` where it says that the certificate is."""

    def __init__(self, text: str, *, revoked: bool = False) -> None:
        super().__init__(text)
        self.revoked = revoked


@dataclass(frozen=True, slots=True)
class Staple:
    """A good answer: ``der`` is what is sent to clients; good from ``since`` ``until`` (seconds since the epoch)."""

    der: bytes
    since: float
    until: float

    @property
    def renewal(self) -> float:
        """When to ask again: after half of its time."""
        return self.since + (self.until - self.since) / 2

    def __repr__(self) -> str:
        return f"<Staple until {moment(self.until)}>"


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask about a certificate: POST ``body`` to ``url`` as ``application/ocsp-request``."""

    url: str
    body: bytes
    _leaf: x509.Certificate
    _issuer: x509.Certificate

    @classmethod
    def of(cls, identity: Identity) -> Question | None:
        """Return the question about ``identity``; None where its certificate names nobody to ask, or its issuer is not in the chain."""
        certificates = parsed(split(identity.chain).certificates[:2])
        url = _responder(certificates[0])
        if not url or len(certificates) < 2:
            return None
        leaf, issuer = certificates
        # SHA-1 names the issuer here, it proves nothing; many authorities understand no other.
        request = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, SHA1()).build()  # noqa: S303
        return cls(url, request.public_bytes(Encoding.DER), leaf, issuer)

    def verified(self, data: bytes, now: float) -> Staple:
        """Return what ``data``, received at ``now``, is good for.

        Raises:
            NotBelievedError: saying why it is good for nothing.
        """
        try:
            response = ocsp.load_der_ocsp_response(data)
        except ValueError as error:
            raise NotBelievedError(f"the answer cannot be read: {words_for(error)}") from None
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise NotBelievedError(f"the authority answers {response.response_status.name.lower()}")
        single = self._about_ours(response)
        self._check_signature(response)
        since = _seconds(single.this_update_utc)
        until = _seconds(single.next_update_utc) if single.next_update_utc is not None else now + _WITHOUT_END
        if since > now + SKEW:
            raise NotBelievedError(f"the answer is of {moment(since)}, which has yet to come")
        if until <= now:
            raise NotBelievedError(f"the answer is out of date since {moment(until)}")
        if single.certificate_status is ocsp.OCSPCertStatus.REVOKED:
            when = single.revocation_time_utc
            raise NotBelievedError(
                f"the certificate is revoked{f' since {moment(_seconds(when))}' if when else ''}", revoked=True
            )
        if single.certificate_status is not ocsp.OCSPCertStatus.GOOD:
            raise NotBelievedError("the authority does not know the certificate")
        return Staple(data, since, until)

    def _about_ours(self, response: ocsp.OCSPResponse) -> ocsp.OCSPSingleResponse:
        ours = ocsp.load_der_ocsp_request(self.body)
        for single in response.responses:
            if (single.serial_number, single.issuer_key_hash, single.issuer_name_hash) == (
                ours.serial_number,
                ours.issuer_key_hash,
                ours.issuer_name_hash,
            ):
                return single
        raise NotBelievedError("the answer is about another certificate")

    def _check_signature(self, response: ocsp.OCSPResponse) -> None:
        for signer in (self._issuer, *response.certificates):
            if not _signed_by(signer, response):
                continue
            if signer == self._issuer or self._may_sign(signer):
                return
            raise NotBelievedError("the answer is signed by somebody to whom the issuer has not given the right to")
        raise NotBelievedError("the answer is not signed by the certificate's issuer")

    def _may_sign(self, signer: x509.Certificate) -> bool:
        try:
            signer.verify_directly_issued_by(self._issuer)
            usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound, UnsupportedAlgorithm):
            return False
        return ExtendedKeyUsageOID.OCSP_SIGNING in usage


def must_staple(identity: Identity) -> bool:
    """Whether clients refuse this certificate without a staple (RFC 7633)."""
    (leaf,) = parsed(split(identity.chain).certificates[:1])
    try:
        features = leaf.extensions.get_extension_for_class(x509.TLSFeature).value
    except x509.ExtensionNotFound:
        return False
    return x509.TLSFeatureType.status_request in features


def _responder(leaf: x509.Certificate) -> str:
    try:
        access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return ""
    for description in access:
        location = description.access_location
        if description.access_method == AuthorityInformationAccessOID.OCSP and isinstance(
            location, x509.UniformResourceIdentifier
        ):
            if location.value.startswith("http://"):
                return location.value
    return ""


def _signed_by(signer: x509.Certificate, response: ocsp.OCSPResponse) -> bool:
    key = signer.public_key()
    try:
        algorithm = response.signature_hash_algorithm
        signature, signed = response.signature, response.tbs_response_bytes
        if isinstance(key, rsa.RSAPublicKey) and algorithm is not None:
            key.verify(signature, signed, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None:
            key.verify(signature, signed, ec.ECDSA(algorithm))
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, signed)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _seconds(when: datetime) -> float:
    return when.timestamp()
