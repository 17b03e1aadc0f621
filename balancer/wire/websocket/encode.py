"""The frames that the balancer makes itself: close and ping."""

from __future__ import annotations

__all__ = ["close_frame", "ping_frame", "xored"]

_CLOSE = 0x88
_PING = 0x89
_LONGEST = 125


def close_frame(code: int, reason: str = "", mask: bytes | None = None) -> bytes:
    """Return a close frame; ``reason`` is cut to fit. ``mask`` is 4 bytes of chance where the balancer is the client."""
    text = reason.encode()[: _LONGEST - 2].decode(errors="ignore")  # no half of a character at the cut
    return _frame(_CLOSE, code.to_bytes(2, "big") + text.encode(), mask)


def ping_frame(payload: bytes, mask: bytes | None = None) -> bytes:
    """Return a ping with up to 125 bytes; ``mask`` as for :func:`close_frame`."""
    return _frame(_PING, payload[:_LONGEST], mask)


def xored(payload: bytes, mask: bytes) -> bytes:
    """Return ``payload`` masked, or unmasked, with the 4 bytes of ``mask`` (RFC 6455 section 5.3)."""
    return bytes(byte ^ mask[at & 3] for at, byte in enumerate(payload))


def _frame(first: int, payload: bytes, mask: bytes | None) -> bytes:
    if mask is None:
        return bytes((first, len(payload))) + payload
    return bytes((first, 0x80 | len(payload))) + mask + xored(payload, mask)
