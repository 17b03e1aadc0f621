"""What libuv has read in one turn of the loop, served together; and what is written meanwhile, sent together.

::

    libuv: wait ──> read, read, read … ──> Batch.serve: dataReceived, dataReceived … ──> write(2), write(2) …

Each change between the kernel and the protocols' Python code finds the processor's caches filled with the other, and
each single write wakes up a peer that goes to sleep again: see :mod:`balancer.net.polling`, which does the same on epoll.
Served one by one, as libuv reads them, an HTTP exchange costs about a tenth more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from balancer.net.reactor.writing import Plain

__all__ = ["BATCH_SIZE", "CORK_SIZE", "Batch"]

BATCH_SIZE = 1024 * 1024
"""Bytes that are read before they are served: what one batch may hold in memory."""

BATCH_COUNT = 64
"""Connections that are read before they are served: a turn with thousands must not let the first wait for the last."""

CORK_SIZE = 32768
"""Bytes of one connection that may wait for the end of the batch; more are sent at once."""


class Batch:
    """The reactor's inbox and outbox; ``is_serving`` while what is written is kept for the end."""

    __slots__ = ("_is_due", "_room", "inbox", "is_serving", "look", "loop", "outbox")

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.inbox: list[tuple[Any, bytes]] = []
        self.outbox: list[Plain] = []
        self.is_serving = False
        self.look: Callable[[], Any] | None = None  # called after each
        self._is_due = False
        self._room = BATCH_SIZE

    def add(self, connection: Any, data: bytes) -> None:
        """Note what ``connection`` has received; ``b""`` is the end."""
        self.inbox.append((connection, data))
        if not self._is_due:
            self._is_due = True
            self.loop.call_soon(self.serve)
        self._room -= len(data)
        if (self._room < 0 or len(self.inbox) >= BATCH_COUNT) and not self.is_serving:
            self._serve()

    def serve(self) -> None:
        """Give what was read to the protocols, then send what they wrote."""
        self._is_due = False
        self._serve()

    def _serve(self) -> None:
        inbox = self.inbox
        self.inbox = []
        self._room = BATCH_SIZE
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
