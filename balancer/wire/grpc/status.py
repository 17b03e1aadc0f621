"""gRPC's statuses: the codes, what an HTTP status or an error of the balancer's is in them, and how they are written.

Sources: gRPC's ``statuscodes.md``, ``http-grpc-status-mapping.md`` and ``PROTOCOL-HTTP2.md``.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from balancer.errors import ExchangeError, Reason
from balancer.model.headers import RawHeaders, first

__all__ = [
    "RETRIABLE",
    "Status",
    "decode_message",
    "encode_message",
    "is_call",
    "is_grpc",
    "of_error",
    "of_http",
    "of_reason",
    "of_reply",
    "of_response",
    "to_http",
    "trailers",
    "trailers_only",
]


class Status(enum.IntEnum):
    """The codes of ``grpc-status``."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


RETRIABLE = ("cancelled", "deadline_exceeded", "internal", "resource_exhausted", "unavailable")
"""What a call that got no message may be tried again for, where a pool lists it."""

_OF_HTTP = {
    400: Status.INTERNAL,
    401: Status.UNAUTHENTICATED,
    403: Status.PERMISSION_DENIED,
    404: Status.UNIMPLEMENTED,
    429: Status.UNAVAILABLE,
    502: Status.UNAVAILABLE,
    503: Status.UNAVAILABLE,
    504: Status.UNAVAILABLE,
}
# The other way, for those who see only HTTP; as google.rpc.Code has it.
_TO_HTTP = {
    Status.OK: 200,
    Status.CANCELLED: 499,
    Status.UNKNOWN: 500,
    Status.INVALID_ARGUMENT: 400,
    Status.DEADLINE_EXCEEDED: 504,
    Status.NOT_FOUND: 404,
    Status.ALREADY_EXISTS: 409,
    Status.PERMISSION_DENIED: 403,
    Status.RESOURCE_EXHAUSTED: 429,
    Status.FAILED_PRECONDITION: 400,
    Status.ABORTED: 409,
    Status.OUT_OF_RANGE: 400,
    Status.UNIMPLEMENTED: 501,
    Status.INTERNAL: 500,
    Status.UNAVAILABLE: 503,
    Status.DATA_LOSS: 500,
    Status.UNAUTHENTICATED: 401,
}
# The balancer's own errors say more than the HTTP status that other clients get for them.
_OF_CODE = {
    "connection_timeout": Status.UNAVAILABLE,
    "connection_read_timeout": Status.DEADLINE_EXCEEDED,
    "connection_write_timeout": Status.DEADLINE_EXCEEDED,
    "http_response_timeout": Status.DEADLINE_EXCEEDED,
    "connection_limit_reached": Status.RESOURCE_EXHAUSTED,
    "http_response_incomplete": Status.UNAVAILABLE,
    "http_protocol_error": Status.INTERNAL,
    "http_response_header_section_size": Status.INTERNAL,
    "http_request_denied": Status.PERMISSION_DENIED,
}
_OF_ERROR_STATUS = {
    400: Status.INTERNAL,
    408: Status.DEADLINE_EXCEEDED,
    413: Status.RESOURCE_EXHAUSTED,
    431: Status.RESOURCE_EXHAUSTED,
    499: Status.CANCELLED,
    500: Status.INTERNAL,
    501: Status.UNIMPLEMENTED,
}
_CODE = re.compile(rb"[0-9]{1,9}")
_KEPT = re.compile(rb"[^ -$&-~]")
"""What is written as ``%HH`` in a message: all but printable ASCII, and the percent sign."""


def is_grpc(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether ``Content-Type`` is gRPC's (with ``+proto`` or the like), and not gRPC-Web's."""
    kind = (first(headers, b"content-type") or b"").lower()
    return kind.startswith(b"application/grpc") and kind[16:17] in (b"", b"+", b";", b" ")


def is_call(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether ``Content-Type`` is gRPC's or gRPC-Web's."""
    kind = (first(headers, b"content-type") or b"").lower()
    if not kind.startswith(b"application/grpc"):
        return False
    rest = kind[16:]
    if rest.startswith(b"-web"):
        rest = rest[4:].removeprefix(b"-text")
    return rest[:1] in (b"", b"+", b";", b" ")


def of_http(status: int) -> Status:
    """Return what a client makes of an HTTP ``status`` without ``grpc-status``."""
    return _OF_HTTP.get(status, Status.UNKNOWN)


def to_http(status: int) -> int:
    """Return the HTTP status that comes closest to a ``grpc-status``, for logs and health; 500 for unknown codes."""
    return _TO_HTTP.get(Status(status), 500) if 0 <= status <= 16 else 500


def of_response(status: int, headers: Iterable[tuple[bytes, bytes]], trailers: RawHeaders | None) -> int:
    """Return the code that a complete response has: of its trailers, else of its head, else what its HTTP status is in gRPC."""
    said = first(trailers or (), b"grpc-status") or first(headers, b"grpc-status")
    if said is not None and _CODE.fullmatch(said):
        return int(said)
    return Status.UNKNOWN if said is not None or status == 200 else of_http(status)


def of_reason(reason: Reason) -> Status:
    """Return what a client is told when the balancer ended its call for ``reason``."""
    found = _OF_CODE.get(reason.code)
    if found is not None:
        return found
    return _OF_ERROR_STATUS.get(reason.status) or of_http(reason.status)


def of_error(error: ExchangeError) -> tuple[Status, str]:
    """Return the status and the message for ``error``; the message is the page's sentence and the reason's code."""
    return of_reason(error.reason), f"{error.reason.text} ({error.reason.code})"


def of_reply(status: int, detail: str) -> tuple[Status, str]:
    """Return the status and the message for an answer of the balancer's own with HTTP ``status``."""
    return of_http(status), detail or f"HTTP status {status}"


def trailers(status: Status, message: str = "") -> RawHeaders:
    """Return ``grpc-status``, and ``grpc-message`` where there is one."""
    fields: RawHeaders = [(b"grpc-status", b"%d" % status)]
    if message:
        fields.append((b"grpc-message", encode_message(message)))
    return fields


def trailers_only(error: ExchangeError, content_type: bytes = b"application/grpc") -> RawHeaders:
    """Return the fields of an answer of the balancer's own: HTTP status 200, no body, the status among the headers."""
    return [(b"content-type", content_type), *trailers(*of_error(error))]


def encode_message(text: str) -> bytes:
    """Return ``text`` as ``grpc-message`` has it: UTF-8, percent-encoded."""
    return _KEPT.sub(lambda found: b"%%%02X" % found[0][0], text.encode("utf-8", "replace"))


def decode_message(value: bytes) -> str:
    """Return the text of a ``grpc-message``; what is no valid encoding stays as it is, as the specification wants."""
    return unquote_to_bytes(value).decode("utf-8", "replace")
