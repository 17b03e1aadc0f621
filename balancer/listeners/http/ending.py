"""How a client's connection ends after our last answer: so that the answer arrives, and in bounded time.

::

    the client takes what is written ──> it may say what it still wants to, unheard ──> closed
       │ nothing taken for ``patience``      │ silent for a while, or talking for too long
       └──> cut                              └──> closed all the same

Whoever closes a socket on which bytes wait unread, or arrive later, has the kernel send a reset, which destroys what of
the answer is still on its way. So our half is closed first, and what comes is read and dropped until the client closes its
own. nginx calls this ``lingering_close``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from balancer.net.timers import Entry
from balancer.net.unsent import unacknowledged

__all__ = ["Ending"]

_SILENCE = 5.0
"""Seconds that a client which has its answer may say nothing, nor close."""
_LONGEST = 30.0
"""Seconds that it may go on sending."""


class Ending:
    """Waits until a client has its last answer, and cuts or closes where it takes too long.

    Args:
        transport: the connection; told to close, nothing is written any more.
        timer: the connection's, whose owner calls :meth:`timed_out`.
        patience: seconds that the client may take nothing of what is written.
        unsent: how many bytes it has yet to take.
    """

    __slots__ = ("_came", "_left", "_patience", "_span", "_taken", "_timer", "_transport", "_unsent", "_waited")

    def __init__(
        self, transport: Any, timer: Entry, patience: float, unsent: Callable[[Any], int] = unacknowledged
    ) -> None:
        self._transport = transport
        self._timer = timer
        self._patience = patience
        self._unsent = unsent
        self._span = min(_SILENCE, patience)
        self._left = -1
        self._waited = 0.0
        self._taken = False
        self._came = False
        timer.reset(self._span)

    def half_close(self) -> None:
        """Send no more than what is queued; what comes from now on is to be read, and told with :meth:`data_came`."""
        self._transport.loseWriteConnection()

    def data_came(self) -> None:
        """The client sent something, which is dropped."""
        self._came = True

    def client_ended(self) -> None:
        """The client closed its half: so do we, once all is sent."""
        self._transport.loseConnection()

    def timed_out(self) -> None:
        """See how far the client is, and wait on or close."""
        left = self._unsent(self._transport)
        if not self._taken and left:
            self._waited = self._waited + self._span if left == self._left else 0.0
            self._left = left
            if self._waited >= self._patience:
                self._transport.abortConnection()
                return
        elif not self._taken:
            self._taken = True
            self._span = _SILENCE
            self._waited = 0.0
        else:
            self._waited += self._span
            if not self._came or self._waited >= _LONGEST:
                self._transport.loseConnection()
                return
        self._came = False
        self._timer.reset(self._span)

    def __repr__(self) -> str:
        return f"<Ending {'the client may close' if self._taken else 'the client takes the answer'}>"
