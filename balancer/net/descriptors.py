"""How many descriptors the process has left, and a reserve of them that traffic does not get.

The kernel hands out the lowest free number. So the number of a descriptor that was just opened says how many are in use,
and no counting is needed: at :func:`ceiling` and beyond, only the reserve is left. Connections of clients and to
servers stay below it; files of a reload, the access log, the admin API and the metrics find a few free.
"""

from __future__ import annotations

import os
import resource

__all__ = ["ceiling", "is_reserved", "is_scarce"]

_LARGEST_RESERVE = 16


def _ceiling_of(limit: int) -> int:
    if limit == resource.RLIM_INFINITY:
        return 1 << 30
    return limit - max(4, min(_LARGEST_RESERVE, limit // 8))


_ceiling = _ceiling_of(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def ceiling() -> int:
    """Return the lowest descriptor number that traffic leaves free."""
    return _ceiling


def is_reserved(number: int) -> bool:
    """Return whether a descriptor of this number belongs to the reserve; the limit may have been changed meanwhile."""
    global _ceiling
    if number < _ceiling:
        return False
    _ceiling = _ceiling_of(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    return number >= _ceiling


def is_scarce() -> bool:
    """Return whether the next descriptor would be one of the reserve, or cannot be had at all; some system calls."""
    try:
        number = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    os.close(number)
    return is_reserved(number)
