"""Close codes (RFC 6455 section 7.4 and the registry of IANA)."""

from __future__ import annotations

__all__ = ["BAD_PROTOCOL", "GOING_AWAY", "NORMAL", "NO_CODE", "SERVER_FAILED", "TOO_BIG", "may_be_sent"]

NORMAL = 1000
GOING_AWAY = 1001
BAD_PROTOCOL = 1002
NO_CODE = 1005
"""Stands for a close frame without a code; is never sent."""
TOO_BIG = 1009
SERVER_FAILED = 1011

_NEVER_SENT = frozenset([1004, NO_CODE, 1006, 1015])


def may_be_sent(code: int) -> bool:
    """Whether ``code`` may stand in a close frame: registered and not reserved, or of a library or an application."""
    return (1000 <= code <= 1014 and code not in _NEVER_SENT) or 3000 <= code <= 4999
