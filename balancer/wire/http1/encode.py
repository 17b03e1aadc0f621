"""Writing HTTP/1.1: heads, chunks, and the status lines that are asked for most."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

__all__ = ["LAST_CHUNK", "chunk", "fields", "last_chunk", "request_head", "response_head"]

_REASONS = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
_STATUS_LINES = {code: b"HTTP/1.1 %d %s\r\n" % (code, phrase) for code, phrase in _REASONS.items()}
_COLON = b": ".join
LAST_CHUNK = b"0\r\n\r\n"


def request_head(method: str, target: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the head of a request in origin form, the empty line included."""
    return b"%b\r\n%b\r\n\r\n" % (
        f"{method} {target} HTTP/1.1".encode("latin-1"),
        b"\r\n".join(map(_COLON, headers)),
    )


def response_head(
    status: int,
    reason: bytes | None,
    headers: Iterable[tuple[bytes, bytes]],
    tail: bytes,
    block: bytes | None = None,
) -> bytes:
    """Return the head of a response. ``tail`` ends it: more lines, if any, and the empty line.

    ``reason`` None or the usual phrase uses a prepared status line; ``block`` is ``headers`` encoded, if known.
    """
    line = _STATUS_LINES.get(status)
    if line is None or (reason is not None and reason != _REASONS[status]):
        line = b"HTTP/1.1 %d %b\r\n" % (status, reason or b"")
    if block is None:
        block = fields(headers)
    return b"%b%b%b" % (line, block, tail)


def fields(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the lines of ``headers``, each with its end."""
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])


def chunk(data: bytes) -> bytes:
    """Return ``data``, which must not be empty, as one chunk (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the end of a chunked body with its trailer fields."""
    return b"0\r\n%b\r\n" % fields(trailers)
