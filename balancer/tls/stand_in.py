"""A certificate of our own making, shown as long as a listener has none that anybody would believe.

So a listener can be open, and answer handshakes, while its first certificate is being issued. Clients that check refuse it.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from balancer.tls.identity import Identity
from balancer.tls.reading import identity_of

__all__ = ["STAND_IN", "stand_in"]

STAND_IN = "stand-in"
"""What it is called."""

_YEARS = datetime.timedelta(days=3650)
_MOST_NAMES = 100


def stand_in(names: Sequence[str]) -> Identity:
    """Return a certificate for ``names``, signed by itself, with a key that exists in memory only."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "not issued yet")])
    alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names[:_MOST_NAMES]])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + _YEARS)
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return identity_of(STAND_IN, [certificate.public_bytes(serialization.Encoding.PEM)], private)
