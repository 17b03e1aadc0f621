"""What an authority is shown that wants to see whether a name is ours, by TLS alone: tls-alpn-01 (RFC 8737).

::

    ClientHello ── ALPN is acme-tls/1 and nothing else, its SNI is being proved ──> a context of its own: certificate of the proof, handshake, end
                └─ anything else ──> as if nobody had looked

The hello must be read before OpenSSL reads it: with TLS 1.2 the certificate is settled before ALPN is. So what comes is held until the hello is
whole, but only for connections that begin while something is being proved; all others never come here.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from balancer.tls.callbacks import callbacks_of
from balancer.tls.context import Context
from balancer.tls.identity import Identity
from balancer.tls.library import Library
from balancer.tls.reading import identity_of
from balancer.wire.client_hello import HelloReader, Verdict

if TYPE_CHECKING:
    from balancer.tls.server_contexts import ServerSession

__all__ = ["ACME_TLS", "Validations", "Watch", "proof_identity"]

ACME_TLS = "acme-tls/1"

_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")  # id-pe-acmeIdentifier
_OCTETS_OF_32 = b"\x04\x20"  # DER: an OCTET STRING of the digest's size
_WEEK = datetime.timedelta(days=7)


def proof_identity(name: str, proof: str) -> Identity:
    """Return the certificate that proves ``name`` with the key authorization ``proof`` (RFC 8737 section 3), with a key of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([])
    digest = hashlib.sha256(proof.encode("ascii")).digest()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _WEEK)
        .not_valid_after(now + _WEEK)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)  # as the subject is empty
        .add_extension(x509.UnrecognizedExtension(_IDENTIFIER, _OCTETS_OF_32 + digest), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return identity_of(f"proof of {name}", [certificate.public_bytes(serialization.Encoding.PEM)], private)


class Validations:
    """What is being proved; asked by sessions that begin meanwhile.

    Args:
        proofs: key authorizations by name. Looked into for good; others change it.
        library: OpenSSL.
    """

    def __init__(self, proofs: Mapping[str, str], library: Library) -> None:
        self.proofs = proofs
        self._library = library
        self._contexts: dict[tuple[str, str], Context] = {}
        self._chosen = library.ffi.new("unsigned char[]", ACME_TLS.encode())

    def context(self, name: str) -> Context | None:
        """Return what is shown to an authority that asks for ``name``; None where that is not being proved."""
        proof = self.proofs.get(name)
        if proof is None:
            return None
        found = self._contexts.get((name, proof))
        if found is None:
            found = self._made(name, proof)
            self._contexts = {  # what is over is forgotten
                (each, kept): context
                for (each, kept), context in self._contexts.items()
                if self.proofs.get(each) == kept
            } | {(name, proof): found}
        return found

    def _made(self, name: str, proof: str) -> Context:
        """A context that nothing of the listener's settings is in: no client certificate is asked for, no ticket given."""
        library = self._library
        made = Context(library, "intermediate", [proof_identity(name, proof)])
        library.cache_nothing(made.pointer)
        library.forget_tickets(made.pointer)
        library.SSL_CTX_set_alpn_select_cb(made.pointer, callbacks_of(library).protocol, library.null)
        return made

    def protocol(self, out: Any, out_size: Any) -> int:
        """Agree on the one protocol that the authority speaks; for OpenSSL, in the middle of a handshake."""
        out[0] = self._chosen
        out_size[0] = len(ACME_TLS)
        return 0  # SSL_TLSEXT_ERR_OK


class Watch:
    """Looks at what comes first on a connection. ``over`` once it is known what that is."""

    __slots__ = ("_held", "_reader", "over")

    def __init__(self) -> None:
        self._reader = HelloReader()
        self._held = b""
        self.over = False

    def look(self, session: ServerSession, data: bytes) -> bytes:
        """Return what OpenSSL is to be given now; an authority's ``session`` is turned into one that proves the name."""
        self._held += data
        if self._reader.feed(data) is Verdict.UNDECIDED:
            return b""
        self.over = True
        hello = self._reader.hello
        if hello is not None and hello.alpn == (ACME_TLS,):
            session.prove(hello.server_name)
        return self._held
