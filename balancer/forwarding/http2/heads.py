"""What a request carries to a server in HTTP/2, and what is made of the server's header lists."""

from __future__ import annotations

from http import HTTPStatus

from balancer.forwarding.http2.stream_end import without_key
from balancer.model.headers import RawHeaders, first
from balancer.wire.http1 import fields
from balancer.wire.http1.responses import ResponseHead
from balancer.wire.http2 import heads

__all__ = ["asking_fields", "outgoing_fields", "outgoing_trailers", "response_head", "response_trailers"]

_PHRASES = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}


def outgoing_fields(method: str, scheme: bytes, target: str, headers: RawHeaders, length: int | None) -> RawHeaders:
    """Return the header list of a request.

    Args:
        method: its method.
        scheme: of the connection.
        target: in origin form, or ``*``.
        headers: its fields but for framing; ``Host`` becomes ``:authority``.
        length: of its body in bytes, None if unknown or if it has none.
    """
    authority = b""
    for name, value in headers:
        if len(name) == 4 and name.lower() == b"host":
            authority = value
            break
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    listed = heads.request_fields(method.encode("latin-1"), scheme, authority, target.encode("latin-1"), headers)
    if not authority:  # of a client of HTTP/1.0: an empty one is worse than none (RFC 9113 section 8.3.1)
        listed.remove((b":authority", b""))
    return listed


def asking_fields(scheme: bytes, target: str, headers: RawHeaders) -> RawHeaders:
    """Return the header list of an extended CONNECT (RFC 8441) that asks for a WebSocket; arguments as of :func:`outgoing_fields`."""
    authority = first(headers, b"host") or b""
    path = target.encode("latin-1")
    return heads.request_fields(b"CONNECT", scheme, authority, path, without_key(headers), b"websocket")


def outgoing_trailers(trailers: RawHeaders) -> RawHeaders:
    """Return the trailer fields of a request as HTTP/2 has them."""
    return [(name.lower(), value) for name, value in trailers]


def response_head(headers: RawHeaders, *, ended: bool) -> ResponseHead:
    """Return the head of a response, or of a 1xx, with the usual reason phrase.

    One that announces trailers forgets its length: in HTTP/1.1 only chunks can have trailers behind them.

    Raises:
        ExchangeError: it could be read in another way in HTTP/1.
    """
    head = heads.response_head(headers, ended=ended)
    head.reason = _PHRASES.get(head.status, b"")
    if head.content_length is not None and not ended and b"trailer" in dict(headers):
        head.content_length, head.chunked = None, True
    return head


def response_trailers(trailers: RawHeaders) -> RawHeaders:
    """Return the trailer fields that are passed on: no framing or routing (RFC 9110 section 6.5.1)."""
    return [pair for pair in trailers if fields.response_kind(pair[0]) == fields.PLAIN]
