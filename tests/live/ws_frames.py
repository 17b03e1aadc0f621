"""Frames of WebSocket by hand."""

from __future__ import annotations

from websockets.frames import Frame, Opcode

__all__ = ["framed"]


def framed(opcode: int, payload: bytes, *, mask: bool, fin: bool = True) -> bytes:
    """Return a frame."""
    return Frame(Opcode(opcode), payload, fin).serialize(mask=mask)
