"""Finding out whether an end of a WebSocket that is silent is still there.

::

    silent for ``interval`` ──> asked (at the next boundary of frames) ──> something came: as before
                                     └── nothing for ``patience`` ──> gone

Anything that comes is an answer, as RFC 6455 section 5.5.3 lets an end answer only the last of several pings, which may be
its peer's. One that is slow to take what was sent before the ping is not gone as long as it goes on taking.
"""

from __future__ import annotations

from collections.abc import Callable

from balancer.forwarding.ends import TunnelEnd
from balancer.net.timers import Wheel

__all__ = ["Pings"]


class Pings:
    """Watches one end.

    Args:
        wheel: the shared timer.
        interval: seconds of silence after which it is asked.
        patience: seconds that it has for an answer.
        end: who is watched.
        ask: sends a ping, and calls :meth:`asked` once it is written.
        gone: called if there is no answer.
    """

    __slots__ = ("_ask", "_awaiting", "_end", "_gone", "_interval", "_left", "_patience", "_timer")

    def __init__(
        self,
        wheel: Wheel,
        interval: float,
        patience: float,
        end: TunnelEnd,
        ask: Callable[[], None],
        gone: Callable[[], None],
    ) -> None:
        self._interval = interval
        self._patience = patience
        self._end = end
        self._ask = ask
        self._gone = gone
        self._awaiting = False
        self._left = 0
        self._timer = wheel.schedule(interval, self._rang)

    def heard(self) -> None:
        """Something came from it. Runs for every piece."""
        if self._awaiting:
            self._awaiting = False
            self._timer.reset(self._interval)
        else:
            self._timer.touch()

    def asked(self) -> None:
        """The ping is on its way."""
        self._awaiting = True
        self._left = self._end.unsent()
        self._timer.reset(self._patience)

    def stop(self) -> None:
        """Watch no more."""
        self._timer.end()

    def _rang(self) -> None:
        if not self._awaiting:
            self._ask()
            return
        left = self._end.unsent()
        if 0 < left < self._left:
            self._left = left
            self._timer.reset(self._patience)
        else:
            self._gone()
