"""How long certificates are good for, in words and days."""

from __future__ import annotations

import math
import time

from balancer.tls.identity import Identity

__all__ = ["SOON", "days_left", "moment", "standing"]

DAY = 86400.0
SOON = 30
"""Days before its end from which on a certificate ought to have been renewed."""


def days_left(identity: Identity, now: float) -> int:
    """Return the whole days that ``identity`` is still valid for; negative once it has expired."""
    return math.floor((identity.not_after - now) / DAY)


def moment(seconds: float) -> str:
    """Return a moment as operators read it: ``2026-03-01 12:00 UTC``."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def standing(identity: Identity, now: float) -> str:
    """Return what is wrong with the time, ``expired on …`` or ``not valid before …``; "" where nothing is."""
    if now >= identity.not_after:
        return f"expired on {moment(identity.not_after)}"
    if now < identity.not_before:
        return f"is not valid before {moment(identity.not_before)}"
    return ""
