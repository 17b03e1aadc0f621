"""Whether a mirror that does not answer is left alone for a while: a plain decision, told of outcomes and the time.

::

               failures in a row                   its time is over
    asked ─────────────────────────> left alone ────────────────────> tried with one copy
      ▲                                  ▲                                 │      │
      └──────────── it answers ──────────┼─────────────────────────────────┘      │
                                         └──── for twice as long ── it does not ──┘

To find out again and again that nothing listens costs as much as to forward the request: measured, a mirror that is dead halved what
a busy process could serve. So it is found out a few times, and then now and then.
"""

from __future__ import annotations

__all__ = ["Rest"]

_FAILURES = 5
"""In a row, after which it is left alone …"""
_FIRST = 1.0
_LONGEST = 30.0
"""… for so many seconds: at first, and at most."""


class Rest:
    """Of one mirror. Times are monotonic seconds."""

    __slots__ = ("_failures", "_span", "_tried", "_until")

    def __init__(self) -> None:
        self._failures = 0
        self._span = 0.0
        self._until = 0.0
        self._tried = False

    def asks(self, now: float) -> bool:
        """Return whether a copy may be sent; it must be told how that ended."""
        if not self._span:
            return True
        if now < self._until or self._tried:
            return False
        self._tried = True
        return True

    def ended(self, answered: bool | None, now: float) -> None:
        """Take note of how a copy ended: whether the mirror answered, None if that is not known."""
        if answered is None:
            self._tried = False
        elif answered:
            self._failures = 0
            self._span = 0.0
            self._tried = False
        elif not self._span or self._tried:
            self._failures += 1
            if self._failures >= _FAILURES:
                self._span = min(2 * self._span, _LONGEST) or _FIRST
                self._until = now + self._span
                self._tried = False

    def __repr__(self) -> str:
        return f"<Rest {f'for {self._span:g} s' if self._span else 'none'}>"
