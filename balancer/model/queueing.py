"""What a route says of those of its requests that have to wait for a server."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["HIGHEST", "Queueing"]

HIGHEST = 10
"""The highest priority; the lowest is 0."""


@dataclass(frozen=True, slots=True)
class Queueing:
    """``priority`` (0 to :data:`HIGHEST`) and the longest wait in seconds; None: as the pool has it."""

    priority: int | None = None
    timeout: float | None = None
