"""Writing once for all that a batch of events brings, by those who make one message of many.

A transport keeps what is written while the reactor serves a batch, and sends it at the batch's end (:mod:`.stream`,
:mod:`.reactor.batch`). A protocol on which many exchanges meet has more to gain: what its framing makes of all of them in one go
is cheaper than each by itself, and with TLS it is one record. So it asks to be called then, before the transports send, instead of
writing each time::

    if not gather(self):     # is there a batch? then it calls self.flush() when all is served, else it is now
        self.flush()

    read, read … ──> dataReceived, dataReceived … ──> flush, flush … ──> write(2), write(2) …
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.logger import Logger

__all__ = ["Gathered", "at_once", "flush_gathered", "gathering"]

_log = Logger()


class Gathered(Protocol):
    """Who has something to write at the end of a batch."""

    def flush(self) -> None:
        """Write it."""


def gathering(reactor: Any) -> Callable[[Gathered], bool]:
    """Return what puts somebody down to be called at the end of the batch that ``reactor`` serves; False if it serves none."""
    if hasattr(reactor, "batch"):

        def with_libuv(who: Gathered) -> bool:
            batch = reactor.batch
            if not batch.is_serving:
                return False
            batch.gathered.append(who)
            return True

        return with_libuv
    outbox = getattr(reactor, "outbox", None)
    if outbox is None:
        return at_once

    def with_epoll(who: Gathered) -> bool:
        if not outbox.is_open:
            return False
        outbox.gathered.append(who)
        return True

    return with_epoll


def flush_gathered(gathered: list[Gathered]) -> None:
    """Have each of ``gathered`` write, with those that are added meanwhile, and empty it."""
    for who in gathered:
        try:
            who.flush()
        except Exception:  # one connection's; the others are to write
            _log.failure("what was gathered could not be written")
    gathered.clear()


def at_once(_: Gathered) -> bool:
    """Gather nothing: there are no batches."""
    return False
