"""The names of HTTP/2's error codes (RFC 9113 section 7), for logs."""

from __future__ import annotations

__all__ = ["name_of"]

_NAMES = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
)


def name_of(code: int) -> str:
    """Return the name of ``code``, or its number where it has none."""
    return _NAMES[code] if 0 <= code < len(_NAMES) else f"error {code:#x}"
