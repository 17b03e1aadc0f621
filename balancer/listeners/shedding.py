"""Who is turned away while there is more to do than can be done: a decision, made of measurements of how late we are.

::

              lag ≥ limit, twice in a row                 share of what begins that is turned away
    serving ──────────────────────────────> shedding ┐    follows the lag, up or down, at each measurement
       ▲                                       │     │    so that it comes to half the limit
       └───────────────────────────────────────┘ ◄───┘
                share has fallen to nothing

A single late turn of the event loop (a reload, a slow plug-in) turns nobody away: it needs two in a row. From then on
the share is what a proportional-integral controller makes of the lag, as in PIE (RFC 8033 section 4.2), with one gain
for every state because the lag is compared with its aim as a ratio. On and off, as a threshold alone would have it,
serves nobody for a while and everybody for another.

It is told of measurements and asked for decisions; it has no clock, and measures nothing itself.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

__all__ = ["NEVER", "Shedding"]

_INTEGRAL = 0.05
_PROPORTIONAL = 0.2
"""Gains. Worked out for both ways in which a lag comes about: turns of the loop that are long because thousands of kept
connections have requests (the lag follows the share at once), and a backlog of connections (it follows its integral)."""
_STEP = 0.25
_LEAST = 0.02
_MOST = 0.98
"""Some are always let in: without them nobody would learn that the worst is over."""
_FADING = 0.8
"""What is left of the share after a measurement that found next to no lag."""


class Shedding:
    """Decides on what begins: a request, a session, a flow.

    Args:
        limit: seconds of lag at which shedding begins; 0: never.
        draw: returns a float in [0, 1).

    ``share`` is 0.0 while everybody is served: all that a request pays for is to look at it. ``turned_away`` counts by
    listener.
    """

    __slots__ = ("_before", "_draw", "_error", "lag", "limit", "share", "turned_away")

    def __init__(self, limit: float = 0.0, draw: Callable[[], float] = random.random) -> None:
        self.limit = limit
        self.share = 0.0
        self.lag = 0.0
        """The last measurement."""
        self.turned_away: Counter[str] = Counter()
        self._before = 0.0
        self._error = 0.0
        self._draw = draw

    def measured(self, lag: float) -> None:
        """Take note of how long, in seconds, work has waited lately; to be called many times a second."""
        before, self._before = self._before, lag
        self.lag = lag
        limit = self.limit
        if limit <= 0.0:
            self.share = 0.0
            return
        if self.share == 0.0:
            if lag < limit or before < limit:
                return
            self._error = 0.0
        aim = limit / 2
        error = (lag - aim) / max(lag, aim)  # from -1 to 1
        step = _INTEGRAL * error + _PROPORTIONAL * (error - self._error)
        self._error = error
        share = self.share + max(-_STEP, min(_STEP, step))
        if lag < aim / 4:
            share *= _FADING
        self.share = 0.0 if share < _LEAST else min(share, _MOST)

    def sheds(self, listener: str) -> bool:
        """Return whether the next to begin at ``listener`` is turned away, and count it if it is."""
        if self._draw() < self.share:
            self.turned_away[listener] += 1
            return True
        return False

    def __repr__(self) -> str:
        return f"<Shedding {self.share:.0%}, lag {self.lag * 1000:.0f} ms of {self.limit * 1000:.0f} ms>"


NEVER = Shedding()
"""For what is always served."""
