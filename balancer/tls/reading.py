"""From files to an :class:`~balancer.tls.identity.Identity`: read, and checked to be one that clients will accept.

What is wrong with it refuses it: no key, another's key, a chain in disorder, a weak key, a key that others can read. What
only will be wrong, or was, is for :func:`doubts`: a certificate that has expired can be served (the balancer starts at night,
and the other certificates are good), and is said to have.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from balancer.tls.files import read_file, refuse_open_key
from balancer.tls.identity import Identity
from balancer.tls.names import names_of
from balancer.tls.pem import Pem, UnusableError, split

__all__ = ["Source", "UnusableCertificateError", "identity_of", "parsed", "parsed_any", "read_identity", "words_for"]

LEAST_RSA = 2048
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_BROKEN_HASHES = ("md5", "sha1")
_MOST_CERTIFICATES = 10

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Source:
    """Where a certificate is read from.

    ``name`` is what it is called; ``key`` and ``chain`` are None where ``cert`` holds them too.
    """

    name: str
    cert: Path
    key: Path | None = None
    chain: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that is read."""
        return tuple(path for path in (self.cert, self.key, self.chain) if path is not None)


class UnusableCertificateError(ValueError):
    """A certificate cannot be used: ``problems`` says for each part (``cert``, ``key``, ``chain``) what is wrong."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(text for _, text in problems))


def read_identity(source: Source) -> Identity:
    """Return what is in the files of ``source``, checked.

    Raises:
        UnusableCertificateError: with what is wrong with each of the files.
    """
    problems: list[tuple[str, str]] = []
    parts: dict[str, Pem] = {}
    for part, path in (("cert", source.cert), ("key", source.key), ("chain", source.chain)):
        if path is None:
            continue
        try:
            content, status = read_file(path)
            parts[part] = split(content)
            if parts[part].keys and part in ("key", "cert"):
                refuse_open_key(path, status)
        except UnusableError as error:
            text = str(error)
            problems.append((part, text if str(path) in text else f"{path}: {text}"))
    for part, noun, path in (("cert", "certificate", source.cert), ("chain", "certificate", source.chain)):
        if part in parts and not parts[part].certificates:
            problems.append((part, f"there is no {noun} in {path}"))
    where = "cert" if source.key is None else "key"
    if where in parts:
        count = len(parts[where].keys)
        if count == 0:
            beside = ", nor is there one beside it" if source.key is None else ""
            problems.append((where, f"there is no key in {source.key or source.cert}{beside}"))
        elif count > 1:
            problems.append((where, f"there are {count} keys in {source.key or source.cert}"))
    if problems:
        raise UnusableCertificateError(problems)
    chain = [*parts["cert"].certificates, *(parts["chain"].certificates if "chain" in parts else ())]
    chain_part = "cert" if source.chain is None else "chain"
    return identity_of(source.name, chain, parts[where].keys[0], key_part=where, chain_part=chain_part)


def identity_of(
    name: str, chain: Sequence[bytes], key: bytes, *, key_part: str = "key", chain_part: str = "chain"
) -> Identity:
    """Return the identity of ``chain``, the certificate itself first, and ``key``, all PEM.

    Raises:
        UnusableCertificateError: with what is wrong; ``key_part`` and ``chain_part`` are the parts whose files those came from.
    """
    problems: list[tuple[str, str]] = []
    certificates: list[x509.Certificate] = []
    private = None
    try:
        certificates = parsed(chain)
    except ValueError as error:
        problems.append(("cert", str(error)))
    try:
        # Proving that RSA's primes are prime takes as long as a hundred handshakes; a key that signs right will do.
        private = serialization.load_pem_private_key(key, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        problems.append((key_part, f"the key cannot be read: {words_for(error)}"))
    if private is not None:
        certificates, problem = _led_by(certificates, private.public_key(), key_part)
        problems += problem
    if certificates and not problems:
        problems += [("cert", text) for text in _weaknesses(certificates[0])]
        problems += [(key_part, text) for text in _misfit(private)]
        problems += [(chain_part, text) for text in _disorder(certificates)]
    if problems:
        raise UnusableCertificateError(problems)
    leaf = certificates[0]
    return Identity(
        name=name,
        chain=b"".join(chain),
        key=key,
        names=names_of(leaf),
        kind=_kind(leaf),
        not_before=leaf.not_valid_before_utc.timestamp(),
        not_after=leaf.not_valid_after_utc.timestamp(),
        serial=f"{leaf.serial_number:x}",
        fingerprint=leaf.fingerprint(SHA256()).hex(),
    )


def parsed(chain: Sequence[bytes]) -> list[x509.Certificate]:
    """Return the certificates of ``chain``, not more than a chain has; raises ValueError naming the one that is none."""
    if len(chain) > _MOST_CERTIFICATES:
        raise ValueError(f"expected a certificate and its chain, got {len(chain)} certificates")
    return parsed_any(chain)


def parsed_any(blocks: Sequence[bytes]) -> list[x509.Certificate]:
    """Return the certificates of ``blocks``, however many; raises ValueError naming the one that is none."""
    found = []
    for at, block in enumerate(blocks):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                certificate = x509.load_pem_x509_certificate(block)
                names_of(certificate)  # what is wrong with extensions shows when they are read
                certificate.public_key()
            found.append(certificate)
        except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
            which = "the certificate" if at == 0 else f"certificate {at + 1} of the file"
            raise ValueError(f"{which} cannot be read: {words_for(error)}") from None
    return found


def words_for(error: Exception) -> str:
    """Return the first sentence of what a library says."""
    text = str(error).partition("\n")[0].partition(". ")[0].strip().rstrip(".")
    return text or type(error).__name__


def _public_bytes(key: object) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    found: bytes = key.public_bytes(serialization.Encoding.DER, form)  # type: ignore[attr-defined]
    return found


def _led_by(
    certificates: list[x509.Certificate], public: object, key_part: str
) -> tuple[list[x509.Certificate], list[tuple[str, str]]]:
    """Return ``certificates`` and what is wrong with which of them ``public`` belongs to."""
    wanted = _public_bytes(public)
    for at, certificate in enumerate(certificates):
        if _public_bytes(certificate.public_key()) == wanted:
            if at == 0:
                return certificates, []
            message = f"the certificate of the key is number {at + 1} in the file: it must be the first, then its chain"
            return certificates, [("cert", message)]
    if not certificates:
        return [], []
    subject = certificates[0].subject.rfc4514_string()
    message = f"the key is not that of the certificate ({subject or 'without a name'}): one of the two is another's"
    return certificates, [(key_part, message)]


def _misfit(private: object) -> list[str]:
    """Return why ``private`` cannot sign for its own public half."""
    probe = b"what a handshake would have it sign"
    try:
        if isinstance(private, rsa.RSAPrivateKey):
            signed = private.sign(probe, padding.PKCS1v15(), SHA256())
            private.public_key().verify(signed, probe, padding.PKCS1v15(), SHA256())
        elif isinstance(private, ec.EllipticCurvePrivateKey):
            private.public_key().verify(private.sign(probe, ec.ECDSA(SHA256())), probe, ec.ECDSA(SHA256()))
    except (ValueError, InvalidSignature, InternalError):
        return ["the key is damaged: what it signs is not right"]
    return []


def _kind(leaf: x509.Certificate) -> str:
    key = leaf.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return "rsa"
    return "ecdsa" if isinstance(key, ec.EllipticCurvePublicKey) else "ed25519"


def _weaknesses(leaf: x509.Certificate) -> list[str]:
    """Return why clients would turn the certificate down."""
    found = []
    key = leaf.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < LEAST_RSA:
            found.append(f"the key is weak: RSA of {key.key_size} bits, at least {LEAST_RSA} are needed")
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in _CURVES:
            found.append(f"the key is on the curve {key.curve.name}, which clients do not accept; P-256 and P-384 are")
    elif isinstance(key, ed448.Ed448PublicKey) or not isinstance(key, ed25519.Ed25519PublicKey):
        kind = type(key).__name__.lstrip("_").removesuffix("PublicKey")
        found.append(f"expected a key of RSA, ECDSA or Ed25519, got {kind}")
    try:
        algorithm = leaf.signature_hash_algorithm
    except UnsupportedAlgorithm:
        algorithm = None
    if algorithm is not None and algorithm.name in _BROKEN_HASHES:
        found.append(f"the certificate is signed with {algorithm.name.upper()}, which clients do not accept")
    return found


def _disorder(certificates: Sequence[x509.Certificate]) -> list[str]:
    """Return what is wrong with the order: each certificate must have been issued by the one behind it."""
    for at, (certificate, issuer) in enumerate(pairwise(certificates)):
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            return [
                (
                    f"the chain is broken: certificate {at + 2} ({_named(issuer)}) did not issue certificate {at + 1} "
                    f"({_named(certificate)}), which is from {certificate.issuer.rfc4514_string()}"
                )
            ]
    return []


def _named(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or f"serial {certificate.serial_number:x}"
