"""The ``Date`` of a response (RFC 9110 section 6.6.1), made once a second."""

from __future__ import annotations

import time
from email.utils import formatdate

__all__ = ["http_date"]

_made = (0, b"")


def http_date() -> bytes:
    """Return the present time as ``Sun, 06 Nov 1994 08:49:37 GMT``."""
    global _made
    now = int(time.time())
    if _made[0] != now:
        _made = (now, formatdate(now, usegmt=True).encode("ascii"))
    return _made[1]
