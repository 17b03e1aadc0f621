"""A certificate with its chain and its key: what a server, or a client, proves itself with."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Identity"]


@dataclass(frozen=True, slots=True)
class Identity:
    """One certificate, read and checked.

    ``name`` is what the configuration calls it (its file); ``chain`` and ``key`` are PEM; ``names`` the DNS names (in lower case,
    ``*.example.org`` among them) and IP addresses that it is for; ``kind`` the key's, ``rsa``, ``ecdsa`` or ``ed25519``;
    ``not_before`` and ``not_after`` seconds since the epoch; ``serial`` and ``fingerprint`` (SHA-256) in hexadecimal; ``staple``
    an OCSP response (DER) to send with it.
    """

    name: str
    chain: bytes
    key: bytes
    names: tuple[str, ...]
    kind: str
    not_before: float
    not_after: float
    serial: str
    fingerprint: str
    staple: bytes | None = None

    def __repr__(self) -> str:
        return f"<Identity {self.name} {self.kind} for {', '.join(self.names) or 'nobody'}>"
