"""How late the event loop is: what everything that waits for its turn has to wait.

A call that is due every :data:`INTERVAL` is late by as long as the turn of the loop took in which it fell due. Such a
turn serves every socket that was ready, so a request that came during one turn has waited for the rest of it, and in
the next one for those served before it: the lag is that wait, to within a factor of two. It costs nothing per request.

What waits in front of the loop does not show there: connections in the kernel's backlog, of which each turn accepts
some. Who accepts says how long the first of them had waited (:meth:`LoopLag.note`, with :func:`waited`).
"""

from __future__ import annotations

import _socket
import socket
import struct
import sys
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["BOUNDS", "INTERVAL", "LoopLag", "waited"]

INTERVAL = 0.05
"""Seconds between two measurements, while the loop is not late."""
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds in seconds of the histogram."""

_TCP_INFO = getattr(socket, "TCP_INFO", 11)
_LAST_DATA = 52  # offset of tcpi_last_data_recv in Linux' struct tcp_info: milliseconds


class LoopLag:
    """Measures, and hands each measurement on.

    Args:
        clock: the reactor.
        measured: called with the lag in seconds.

    ``buckets`` (one more than :data:`BOUNDS`), ``count`` and ``total`` are a histogram of all measurements.
    """

    def __init__(self, clock: IReactorTime, measured: Callable[[float], Any]) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.total = 0.0
        self._clock = clock
        self._measured = measured
        self._began = 0.0
        self._noted = 0.0
        self._due = 0.0
        self._next_look = 0.0
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to measure; to be called when the loop runs, as what came before is no lateness of it."""
        if self._call is None:
            self._began = self._clock.seconds()
            self._noted = 0.0
            self._again()

    def stop(self) -> None:
        """Measure no more."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def note(self, seconds: float) -> None:
        """Take note that somebody waited so long; the longest wait since the last measurement counts.

        Who came before the measuring began, while all was still being built, has waited for the loop only since then.
        """
        if seconds > self._noted and self._call is not None:
            self._noted = min(seconds, self._clock.seconds() - self._began)

    def look(self, from_lag: float) -> None:
        """Measure in the middle of a long turn, if it is late already by ``from_lag`` seconds."""
        if self._call is not None:
            now = self._clock.seconds()
            if now - self._due >= from_lag and now >= self._next_look:
                self._next_look = now + INTERVAL
                self._measured(now - self._due)

    def _again(self) -> None:
        self._due = self._clock.seconds() + INTERVAL
        self._next_look = 0.0
        self._call = self._clock.callLater(INTERVAL, self._is_due)

    def _is_due(self) -> None:
        late = max(self._clock.seconds() - self._due, self._noted, 0.0)
        self._noted = 0.0
        self.buckets[bisect_left(BOUNDS, late)] += 1
        self.total += late
        self._again()
        self._measured(late)

    def __repr__(self) -> str:
        count = sum(self.buckets)
        return f"<LoopLag {self.total / count * 1000 if count else 0:.1f} ms on average of {count}>"


def waited(descriptor: int) -> float:
    """Return for how many seconds the last data on a socket, or else its connection, has been there; 0.0 if unknown.

    For a connection just accepted that is its wait in the backlog. Linux only; a system call.
    """
    if sys.platform != "linux":
        return 0.0
    skt = _socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, descriptor)  # cheaper than Python's class
    try:
        info = skt.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _LAST_DATA + 4)
    except OSError:
        return 0.0
    finally:
        skt.detach()
    return float(struct.unpack_from("=I", info, _LAST_DATA)[0]) / 1000 if len(info) >= _LAST_DATA + 4 else 0.0
