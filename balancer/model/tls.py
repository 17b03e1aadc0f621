"""What is known of a TLS connection once its handshake is done: values for matchers, headers, logs and decisions."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ClientCertificate", "TLSInfo"]


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate that a client proved to have.

    ``subject`` and ``issuer`` are names as in RFC 4514 (``CN=alice,O=Example``); ``names`` the subject's alternative names as
    ``DNS:…``, ``IP:…``, ``URI:…``, ``email:…``; ``fingerprint`` the SHA-256 of its DER form and ``serial`` its number, both in
    lower-case hexadecimal; ``not_after`` its end in seconds since the epoch; ``pem`` the certificate itself.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    fingerprint: str
    serial: str
    not_after: float
    pem: str


@dataclass(frozen=True, slots=True)
class TLSInfo:
    """What the handshake of one connection came to.

    ``version`` as OpenSSL calls it (``TLSv1.3``), ``cipher`` likewise; ``sni`` the name asked for in lower case, ``""`` if none was;
    ``alpn`` the protocol agreed on, ``""`` if none was; ``resumed`` whether an earlier session was; ``client`` the client's
    verified certificate, None if it showed none.
    """

    version: str
    cipher: str
    sni: str = ""
    alpn: str = ""
    resumed: bool = False
    client: ClientCertificate | None = None
