"""The opening handshake (RFC 6455 section 4): what a client asks for, and whether a server's 101 is the answer to it.

Subprotocols and extensions are for the two ends to agree upon; they pass unread.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from balancer import errors
from balancer.errors import ExchangeError
from balancer.model.headers import RawHeaders
from balancer.wire.http1.fields import stripped

__all__ = ["VERSION", "accept_for", "check_request", "check_response", "is_extended", "is_websocket"]

VERSION = b"13"
"""The only version that there is."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def is_websocket(upgrade: bytes) -> bool:
    """Whether the value of ``Upgrade`` names WebSocket, alone or among others."""
    return b"websocket" in [token.strip() for token in upgrade.lower().split(b",")]


def check_request(method: str, headers: RawHeaders) -> bytes:
    """Return the key of a client's request for a WebSocket.

    Raises:
        ExchangeError: it is no GET, or ``Sec-WebSocket-Key`` is not base64 of 16 bytes (400); ``Sec-WebSocket-Version`` is not
            13 (426).
    """
    if method != "GET":
        raise ExchangeError(errors.HTTP_REQUEST_ERROR, f"WebSocket: {method} instead of GET")
    if _values(headers, b"sec-websocket-version") != [VERSION]:
        raise ExchangeError(errors.HTTP_UPGRADE_REQUIRED, "Sec-WebSocket-Version is not 13")
    keys = _values(headers, b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        raise ExchangeError(errors.HTTP_REQUEST_ERROR, "Sec-WebSocket-Key is not 16 bytes in base64")
    return keys[0]


def check_response(key: bytes, upgrade: bytes, headers: RawHeaders) -> None:
    """Look whether a server's 101 with ``headers`` answers the request that had ``key``.

    Raises:
        ExchangeError: ``upgrade`` is not WebSocket's, or ``Sec-WebSocket-Accept`` is not what follows from the key.
    """
    if upgrade.lower() != b"websocket":
        raise ExchangeError(errors.HTTP_UPGRADE_FAILED, "Upgrade is not websocket")
    if _values(headers, b"sec-websocket-accept") != [accept_for(key)]:
        raise ExchangeError(errors.HTTP_UPGRADE_FAILED, "Sec-WebSocket-Accept does not fit the key")


def accept_for(key: bytes) -> bytes:
    """Return ``Sec-WebSocket-Accept`` for ``Sec-WebSocket-Key``."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def is_extended(headers: RawHeaders) -> bool:
    """Whether a server's 101 agrees to extensions: then frames may have bits set that mean something to the ends."""
    return any(_values(headers, b"sec-websocket-extensions"))


def _values(headers: RawHeaders, name: bytes) -> list[bytes]:
    return [stripped(value) for key, value in headers if len(key) == len(name) and key.lower() == name]


def _is_key(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False
