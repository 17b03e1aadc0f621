"""What libuv has read in one turn of the loop, served together; and what is written meanwhile, sent together.

::

    libuv: wait ──> read, read, read … ──> Batch.serve: dataReceived, dataReceived … ──> write(2), write(2) …

Each change between the kernel and the protocols' Python code finds the processor's caches filled with the other, and
each single write wakes up a peer that goes to sleep again: see :mod:`balancer.net.polling`, which does the same on epoll.
Served one by one, as libuv reads them, an HTTP exchange costs about a tenth more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from balancer.net.gathering import Gathered, flush_gathered

__all__ = ["BATCH_SIZE", "CORK_SIZE", "COST", "Batch"]

BATCH_SIZE = 1024 * 1024
"""Bytes that are read before they are served: what one batch may hold in memory."""

BATCH_COUNT = 64
"""Connections that are read before they are served: a turn with thousands must not let the first wait for the last."""

COST = BATCH_SIZE // BATCH_COUNT
"""What each read takes of the room for :data:`BATCH_SIZE`, besides its bytes: one limit to look at, for both."""

CORK_SIZE = 32768
"""Bytes of one connection that may wait for the end of the batch; more are sent at once."""


class Batch:
    """The reactor's inbox and outbox; ``is_serving`` while what is written is kept for the end.

    ``gathered`` are those who make what they write when all is served: see :mod:`balancer.net.gathering`.
    """

    __slots__ = ("gathered", "inbox", "is_serving", "look", "loop", "outbox", "room")

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.inbox: list[tuple[Any, bytes]] = []
        self.outbox: list[Any] = []  # Plain, and who writes to one
        self.gathered: list[Gathered] = []
        self.is_serving = False
        self.look: Callable[[], Any] | None = None  # called after each
        self.room = BATCH_SIZE

    def add(self, connection: Any, data: bytes) -> None:
        """Note what ``connection`` has received; ``b""`` is the end."""
        if not self.inbox:
            self.loop.call_soon(self.serve)
        self.inbox.append((connection, data))
        self.room -= len(data) + COST
        if self.room < 0:
            self.fill()

    def fill(self) -> None:
        """There is no room left: serve what there is now, unless just that is going on."""
        if not self.is_serving:
            self.serve()

    def serve(self) -> None:
        """Give what was read to the protocols, then send what they wrote."""
        inbox = self.inbox
        if not inbox:
            return  # served already, because there was no room left
        self.inbox = []
        self.room = BATCH_SIZE
        self.is_serving = True
        try:
            for connection, data in inbox:
                if connection._is_deaf:
                    connection._hold(data)
                elif data:
                    try:
                        connection.protocol.dataReceived(data)
                    except BaseException:
                        connection._failed()
                else:
                    connection._ended_reading()
        finally:
            if self.gathered:
                flush_gathered(self.gathered)
            self.is_serving = False
            outbox = self.outbox
            for writer in outbox:
                try:
                    writer._flush()
                except BaseException:
                    writer._failed()
            outbox.clear()
        if self.look is not None:
            self.look()
