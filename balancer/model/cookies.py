"""Cookies of ours that say where a client belongs: their attributes, and tokens that nobody without the secret can make."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from typing import Literal

__all__ = ["SameSite", "attributes", "token"]

SameSite = Literal["lax", "strict", "none"]

_TOKEN_BYTES = 16


def token(secret: bytes, *parts: str) -> str:
    """Return 128 bits of an HMAC over ``parts``, as text for a cookie; it says nothing of them."""
    digest = hmac.new(secret, "\0".join(parts).encode(), hashlib.sha256).digest()[:_TOKEN_BYTES]
    return urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def attributes(
    path: str = "/", ttl: float | None = None, *, secure: bool = False, same_site: SameSite | None = "lax"
) -> str:
    """Return what follows ``name=value`` in ``Set-Cookie`` (RFC 6265 section 4.1); ``ttl`` in seconds, None: the browser's session."""
    found = [f"Path={path}", "HttpOnly"]
    if ttl is not None:
        found.append(f"Max-Age={max(1, round(ttl))}")
    if secure:
        found.append("Secure")
    if same_site is not None:
        found.append(f"SameSite={same_site.capitalize()}")
    return "; ".join(found)
