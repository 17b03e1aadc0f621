"""What is wrong with a rule file, and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from balancer_crs.lang.model import Where

__all__ = ["RuleError", "nearest"]


class RuleError(ValueError):
    """A rule file cannot be used.

    Attributes:
        where: file and line.
        reason: what was expected, and what was there.
    """

    def __init__(self, where: Where, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason


def nearest(name: str, known: Iterable[str], mark: str = "") -> str:
    """Return ``; did you mean @rx?`` if a known name is much like ``name``, else nothing. ``mark`` stands before the name told."""
    by_lower = {each.lower(): each for each in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {mark}{by_lower[found[0]]}?" if found else ""
