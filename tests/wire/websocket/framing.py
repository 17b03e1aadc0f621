"""Frames made by hand, for tests."""

from __future__ import annotations

from balancer.wire.websocket.encode import xored

__all__ = ["MASK", "frame"]

MASK = b"\x37\xfa\x21\x3d"


def frame(
    opcode: int, payload: bytes = b"", *, mask: bytes | None = None, fin: bool = True, bits: int = 0, wide: int = 0
) -> bytes:
    """Return a frame; ``bits`` are the reserved ones, ``wide`` 2 or 8 writes the length in so many bytes whatever it is."""
    first = (0x80 if fin else 0) | bits << 4 | opcode
    size = len(payload)
    wide = wide or (0 if size < 126 else 2 if size < 65536 else 8)
    short = {0: size, 2: 126, 8: 127}[wide]
    head = bytes((first, (0x80 if mask else 0) | short)) + (size.to_bytes(wide, "big") if wide else b"")
    return head + (mask + xored(payload, mask) if mask else payload)
