"""Type-length-value vectors, the optional parts of a header of version 2 (section 2.2).

::

    type (1 byte) │ length of the value (2 bytes) │ value        and the next, to the end of the header

Types that are not known here are kept as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from balancer.wire.proxy_protocol.errors import HeaderError

__all__ = [
    "ALPN",
    "AUTHORITY",
    "CLIENT_CERT_CONN",
    "CLIENT_CERT_SESS",
    "CLIENT_SSL",
    "CRC32C",
    "MOST_UNIQUE_ID",
    "NETNS",
    "NOOP",
    "SSL",
    "SSL_CIPHER",
    "SSL_CN",
    "SSL_KEY_ALG",
    "SSL_SIG_ALG",
    "SSL_VERSION",
    "UNIQUE_ID",
    "check",
    "encode",
    "encode_ssl",
    "pairs",
    "walk",
]

ALPN = 0x01
AUTHORITY = 0x02
CRC32C = 0x03
NOOP = 0x04
UNIQUE_ID = 0x05
SSL = 0x20
SSL_VERSION = 0x21
SSL_CN = 0x22
SSL_CIPHER = 0x23
SSL_SIG_ALG = 0x24
SSL_KEY_ALG = 0x25
NETNS = 0x30

CLIENT_SSL = 0x01
CLIENT_CERT_CONN = 0x02
CLIENT_CERT_SESS = 0x04

MOST_UNIQUE_ID = 128
_SSL_FIXED = 5


def walk(data: bytes, at: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield type, place of the value and value of each vector of ``data`` from ``at`` on.

    Raises:
        HeaderError: if one reaches beyond the end.
    """
    end = len(data)
    while at < end:
        value = at + 3
        beyond = value + int.from_bytes(data[at + 1 : value], "big")
        if value > end or beyond > end:
            raise HeaderError(f"the vector of type 0x{data[at]:02x} reaches beyond the end of the header")
        yield data[at], value, data[value:beyond]
        at = beyond


def pairs(data: bytes, at: int = 0) -> tuple[tuple[int, bytes], ...]:
    """Return type and value of each vector of ``data`` from ``at`` on; raises as :func:`walk`."""
    return tuple((kind, value) for kind, _, value in walk(data, at))


def check(kind: int, value: bytes) -> None:
    """Look at a vector whose type is known.

    Raises:
        HeaderError: if its value cannot be one of that type.
    """
    if kind == CRC32C and len(value) != 4:
        raise HeaderError(f"a CRC32C of {len(value)} bytes")
    if kind == UNIQUE_ID and len(value) > MOST_UNIQUE_ID:
        raise HeaderError(f"a unique id of {len(value)} bytes")
    if kind == SSL:
        if len(value) < _SSL_FIXED:
            raise HeaderError(f"an SSL vector of {len(value)} bytes")
        pairs(value, _SSL_FIXED)


def encode(vectors: Iterable[tuple[int, bytes]]) -> bytes:
    """Return vectors, given as type and value, as they go onto the wire."""
    return b"".join(b"%c%b%b" % (kind, len(value).to_bytes(2, "big"), value) for kind, value in vectors)


def encode_ssl(vectors: Iterable[tuple[int, bytes]], *, certificate: bool = False) -> bytes:
    """Return the value of an SSL vector for a client that came by TLS, with a verified ``certificate`` or without."""
    flags = CLIENT_SSL | (CLIENT_CERT_CONN | CLIENT_CERT_SESS if certificate else 0)
    return b"%c%b%b" % (flags, (0 if certificate else 1).to_bytes(4, "big"), encode(vectors))
