"""Conditional requests (RFC 9110 section 13): whether what a client has, or expects, is still so. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from email.utils import mktime_tz, parsedate_tz

__all__ = ["http_time", "same_version", "unmet"]

_TAG = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


def unmet(field: Callable[[bytes], bytes | None], tag: bytes, modified: int) -> int:
    """Return the status that a GET or HEAD of something that exists is to be answered with: 412, 304, or 0 if it is served.

    The conditions are judged in the order of section 13.2.2.

    Args:
        field: returns the value of a field of the request, its lines joined with commas; None without one.
        tag: the present strong entity tag, with its quotes.
        modified: when it was last modified, in whole seconds since 1970.
    """
    match = field(b"if-match")
    if match is not None:
        if not _names(match, tag, strong=True):
            return 412
    elif (since := http_time(field(b"if-unmodified-since"))) is not None and modified > since:
        return 412
    none_match = field(b"if-none-match")
    if none_match is not None:
        return 304 if _names(none_match, tag, strong=False) else 0
    since = http_time(field(b"if-modified-since"))
    return 304 if since is not None and modified <= since else 0


def same_version(condition: bytes, tag: bytes, modified: int) -> bool:
    """Whether ``If-Range`` names the present version (section 13.1.5): its strong tag, or the very date."""
    condition = condition.strip()
    return condition == tag if condition.endswith(b'"') else http_time(condition) == modified


def http_time(value: bytes | None) -> int | None:
    """Return a date in any of the three forms of section 5.6.7 as seconds since 1970, None where it is none."""
    parsed = parsedate_tz(value.decode("latin-1")) if value is not None else None
    if parsed is None:
        return None
    try:
        return int(mktime_tz(parsed))
    except (ValueError, OverflowError):
        return None


def _names(value: bytes, tag: bytes, *, strong: bool) -> bool:
    """Whether a list of entity tags has ``tag``; a weak one counts only where the comparison need not be strong."""
    if value.strip() == b"*":
        return True
    return any(found == tag and not (weak and strong) for weak, found in _TAG.findall(value))
