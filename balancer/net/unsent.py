"""How much of what was written to a connection is still on its way."""

from __future__ import annotations

import fcntl
import sys
import termios
from typing import Any

__all__ = ["unacknowledged"]


def unacknowledged(transport: Any) -> int:
    """Return how many bytes written to ``transport`` are queued here, or in the kernel and not received by the other end."""
    queued = int(getattr(transport, "queued", 0))
    try:
        return queued + int.from_bytes(fcntl.ioctl(transport.getHandle(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except (AttributeError, OSError, ValueError):  # no socket of that kind, or none any more
        return queued
