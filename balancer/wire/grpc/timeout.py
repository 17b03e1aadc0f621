"""``grpc-timeout``: how long a client waits (gRPC over HTTP/2, "Timeout"): at most eight digits and a unit."""

from __future__ import annotations

import re

__all__ = ["format_timeout", "parse_timeout"]

_NANOSECONDS = {"n": 1, "u": 1_000, "m": 1_000_000, "S": 1_000_000_000, "M": 60_000_000_000, "H": 3_600_000_000_000}
_FORM = re.compile(rb"([0-9]{1,8})([HMSmun])")
_MOST = 99_999_999


def parse_timeout(value: bytes) -> float | None:
    """Return the seconds that ``value`` stands for, None if it is none: then there is no deadline to keep."""
    found = _FORM.fullmatch(value)
    if found is None:
        return None
    return int(found[1]) * _NANOSECONDS[found[2].decode()] / 1_000_000_000


def format_timeout(seconds: float) -> bytes:
    """Return ``seconds`` in the finest unit in which they have eight digits, rounded up; never less than a nanosecond.

    What is past the largest that can be said (11,415 years) becomes that.
    """
    nanoseconds = max(1, round(min(seconds, 1e12) * 1_000_000_000))
    for unit, size in _NANOSECONDS.items():
        count = -(-nanoseconds // size)
        if count <= _MOST:
            return b"%d%b" % (count, unit.encode())
    return b"%dH" % _MOST
