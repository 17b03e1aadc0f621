"""Sets of statuses as they are written: ``200``, ``"200-299"``, ``"200,204"`` or a list."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["parse_statuses"]

_RANGE = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")


def parse_statuses(value: Any) -> frozenset[int]:
    """Return the statuses that ``value`` stands for.

    Raises:
        ValueError: saying what was expected instead.
    """
    if isinstance(value, frozenset):
        return value
    found: set[int] = set()
    for part in value if isinstance(value, (list, tuple)) else str(value).split(","):
        match = _RANGE.fullmatch(str(part).strip())
        if match is None or isinstance(part, bool):
            raise ValueError(f"expected a status such as 200, a range such as '200-299', or a list, got {value!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"expected a range from low to high: did you mean '{last}-{first}'?")
        found.update(range(first, last + 1))
    if not found:
        raise ValueError("expected at least one status")
    return frozenset(found)
