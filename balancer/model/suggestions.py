"""What somebody probably meant: the nearest of the names that exist."""

from __future__ import annotations

import difflib
from collections.abc import Collection

__all__ = ["did_you_mean", "listed", "nearest"]

_MANY = 12
_NEAR = 0.65  # "udb" is near "udp", "secret" not near "servers"


def nearest(name: str, names: Collection[str]) -> str | None:
    """Return the one of ``names`` that ``name`` is most likely a slip of, or None if none is near.

    Case and ``-`` for ``_`` count for nothing, so that ``BIND`` and ``round-robin`` are found at once.
    """
    plain = {_plain(known): known for known in names}
    found = difflib.get_close_matches(_plain(name), plain, 1, _NEAR)
    return plain[found[0]] if found else None


def did_you_mean(name: str, names: Collection[str]) -> str:
    """Return ``"; did you mean 'x'?"``; where nothing is near, the names there are, if few; else ``""``."""
    near = nearest(name, names)
    if near is not None:
        return f"; did you mean '{near}'?"
    return f"; there are: {listed(names)}" if 0 < len(names) <= _MANY else ""


def listed(names: Collection[str]) -> str:
    """Return ``names`` in order, separated by commas."""
    return ", ".join(sorted(names))


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")
