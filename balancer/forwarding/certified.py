"""What servers are told of the certificate that a client proved to have: RFC 9440's field, and one for each part of it.

::

    X-Client-Cert-Subject: CN=alice,O=Example
    X-Client-Cert-Issuer: CN=Example CA
    X-Client-Cert-SAN: email:alice@example.org, URI:spiffe://example.org/alice
    X-Client-Cert-Fingerprint: 9f86d081…          (SHA-256 of the certificate)
    X-Client-Cert-Serial: 4d2
    Client-Cert: :MIIB…:

What clients themselves send under these names is dropped where the listener tells servers
(:data:`balancer.wire.http1.fields.CLIENT_CERTIFICATE`), so a server may believe them.
"""

from __future__ import annotations

from balancer.model.header_rules import safe_value
from balancer.model.headers import RawHeaders
from balancer.model.tls import ClientCertificate

__all__ = ["client_certificate_fields"]


def client_certificate_fields(client: ClientCertificate) -> RawHeaders:
    """Return the fields for ``client``; made once for a connection."""
    fields = [
        (b"X-Client-Cert-Subject", _value(client.subject)),
        (b"X-Client-Cert-Issuer", _value(client.issuer)),
        # A comma within a name must not make two of it.
        (b"X-Client-Cert-SAN", b", ".join(_value(name).replace(b",", b"%2C") for name in client.names)),
        (b"X-Client-Cert-Fingerprint", client.fingerprint.encode("ascii")),
        (b"X-Client-Cert-Serial", client.serial.encode("ascii")),
        (b"Client-Cert", b":%b:" % _der(client.pem)),
    ]
    return [pair for pair in fields if pair[1] and pair[1] != b"::"]


def _value(text: str) -> bytes:
    return safe_value(text.encode("utf-8", "replace")).strip(b" \t")


def _der(pem: str) -> bytes:
    """Return the certificate of ``pem`` in base64 without line breaks: PEM is that between two lines."""
    lines = pem.strip().splitlines()
    return "".join(line.strip() for line in lines if not line.startswith("-----")).encode("ascii")
