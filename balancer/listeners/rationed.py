"""Lines of the log that anybody outside can cause: so many in a while are written, the others counted."""

from __future__ import annotations

__all__ = ["MOST", "SPAN", "Rationed"]

MOST = 10
"""Lines in :data:`SPAN`."""
SPAN = 10.0
"""Seconds."""


class Rationed:
    """One kind of line of one listener."""

    __slots__ = ("_began", "_left", "_most", "_span", "unwritten")

    def __init__(self, most: int = MOST, span: float = SPAN) -> None:
        self._most = most
        self._span = span
        self._began = -span
        self._left = 0
        self.unwritten = 0
        """Lines that were not written since the last that was."""

    def allows(self, now: float) -> bool:
        """Return whether a line may be written at ``now``, in seconds of any clock."""
        if now - self._began >= self._span:
            self._began, self._left = now, self._most
        if self._left:
            self._left -= 1
            return True
        self.unwritten += 1
        return False

    def take_unwritten(self) -> int:
        """Return how many were not written, and begin to count anew."""
        count, self.unwritten = self.unwritten, 0
        return count

    def __repr__(self) -> str:
        return f"<Rationed {self._left} of {self._most} left, {self.unwritten} unwritten>"
