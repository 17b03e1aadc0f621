"""Reading, on and off: what was read before somebody stopped it is kept."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from twisted.python.failure import Failure

from balancer.net.reactor.batch import COST
from balancer.net.reactor.writing import Plain

__all__ = ["Reading"]

READ_SIZE = 65536


class Reading(Plain):
    """A connection as the producer that it is."""

    if TYPE_CHECKING:

        def _skt(self) -> socket.socket: ...

    _paused: bool
    _held: list[bytes] | None = None  # was read, and must wait until reading goes on
    _read_ended: bool  # FIN has come
    _why: Failure | None  # why it ends, where that is known: what the protocol raised, say

    @property
    def is_reading(self) -> bool:
        """Whether what arrives is read."""
        return self.connected and bool(self._uv.is_reading())

    def pauseProducing(self) -> None:
        """Read no more for now."""
        self._paused = self._is_deaf = True
        if self._uv is not None and not self.disconnected:
            self._uv.pause_reading()

    def resumeProducing(self) -> None:
        """Read on."""
        if not self._paused or self.disconnected or self.disconnecting or self._why is not None:
            return
        self._paused = self._is_deaf = False
        if self._uv is None:
            return
        held, self._held = self._held, None
        if held is not None:
            for data in held:
                self._batch.add(self, data)
        if not self._read_ended:
            self._uv.resume_reading()

    def stopProducing(self) -> None:
        """Nothing more is wanted."""
        self.loseConnection()

    stopReading = pauseProducing
    startReading = resumeProducing

    def _hold(self, data: bytes) -> None:
        """Keep what was read before somebody stopped the reading, for when it goes on; drop it if it will not."""
        if not self.connected or self.disconnecting:
            return
        if self._held is None:
            self._held = []
            self._uv.pause_reading()  # uvloop starts to read after connection_made, whatever was said there
        self._held.append(data)

    def data_received(self, data: bytes) -> None:
        """Libuv has read ``data``; it is served with all else that is there."""
        # Batch.add, once more: half of what can be done here is the call.
        batch = self._batch
        inbox = batch.inbox
        if not inbox:
            batch.loop.call_soon(batch.serve)
        inbox.append((self, data))
        batch.room -= len(data) + COST
        if batch.room < 0:
            batch.fill()

    def _read_the_rest(self) -> None:
        """Hand over what arrived before a send failed: libuv reads no more, but the kernel still has it."""
        if self._paused or self._read_ended or self.disconnecting:
            return
        try:
            skt = self._skt()
            while not self._paused and self._why is None:
                data = skt.recv(READ_SIZE, socket.MSG_DONTWAIT)
                if not data:
                    return
                try:
                    self.protocol.dataReceived(data)
                except BaseException:
                    self._failed()
        except OSError:
            pass
