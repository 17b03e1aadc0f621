"""The plain bytes of a compressed body, as many as are allowed: what is small on the wire may be huge."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from balancer.model.inspection.values import Fault

__all__ = ["plain_body"]


def plain_body(body: bytes, whole: bool, codings: Sequence[str], limit: int) -> tuple[bytes, bool, tuple[Fault, ...]]:
    """Return ``body`` without gzip or deflate, whether that is all of it, and what is wrong with it.

    Args:
        body: the bytes as they came.
        whole: whether they are all.
        codings: the values of ``Content-Encoding``.
        limit: the most bytes that come out.
    """
    names = [
        name for line in codings for each in line.split(",") if (name := each.strip().lower()) not in ("", "identity")
    ]
    for name in reversed(names):
        if name not in ("gzip", "x-gzip", "deflate"):
            return body, whole, (Fault("body", "unknown_coding", f"Content-Encoding: {name[:40]}"),)
        try:
            body, ended, rest = _inflated(body, limit, raw=name == "deflate" and not _has_zlib_head(body))
        except zlib.error as error:
            return body, whole, (Fault("body", "bad_coding", f"{name}: {error}"),)
        if len(body) >= limit and not ended:
            return body, False, (Fault("body", "too_large", f"more than {limit} bytes when decompressed"),)
        if rest:
            return body, False, (Fault("body", "bad_coding", f"{name}: something behind its end"),)
        whole = whole and ended
    return body, whole, ()


def _inflated(body: bytes, limit: int, *, raw: bool) -> tuple[bytes, bool, bytes]:
    inflate = zlib.decompressobj(-15 if raw else 47)  # 47: gzip or zlib, as its head says
    plain = inflate.decompress(body, limit)
    return plain, inflate.eof, inflate.unused_data


def _has_zlib_head(body: bytes) -> bool:
    """Whether ``deflate`` is what the standard says (RFC 9110 section 8.4.1.2), and not what some clients send."""
    return len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
