"""Writing, producers and closing, as they are without TLS; and what TLS itself is given to write to.

What is written while a :class:`~.batch.Batch` is served is kept for its end; anything else goes to libuv, which sends at
once what the kernel has room for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from balancer.net.reactor.batch import CORK_SIZE, Batch
from balancer.net.stream import GATHER_SIZE

__all__ = ["BUFFER_SIZE", "Plain"]

BUFFER_SIZE = 65536
"""Bytes that may wait to be sent before a producer is paused; as in Twisted."""


class Plain:
    """Writing and closing as they are without TLS; what TLS itself is given to write to."""

    # What every connection needs is here, set by Connection; all else is a default of the class, and takes room only where
    # it is set. With all of it in the dictionary that had more names than Python shares among instances: 1.6 kB for each.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_aborting",
        "_batch",
        "_congested",
        "_corked",
        "_corked_size",
        "_descriptor",
        "_handle",
        "_host",
        "_is_deaf",
        "_is_plain",
        "_lost",
        "_made",
        "_opening",
        "_paused",
        "_peer",
        "_place",
        "_read_ended",
        "_tlsClientDefault",
        "_uv",
        "_why",
        "_write_ended",
        "connected",
        "disconnected",
        "disconnecting",
        "producer",
        "protocol",
        "reactor",
        "sessionno",
        "streamingProducer",
    )

    TLS = False
    connected: bool
    disconnected: bool
    disconnecting: bool
    producer: Any
    streamingProducer: bool
    protocol: Any
    reactor: Any
    _batch: Batch

    _uv: Any  # uvloop's transport, once there is one
    _congested: bool  # more is waiting to be sent than may
    _wants_drained: Callable[[], None] | None = None
    _write_ending = False
    _write_ended: bool
    _aborting: bool
    _is_deaf: bool  # paused, closing or closed: what was read is not wanted now
    _asking = False  # the pull producer is about to be asked
    _descriptors: list[int] | None = None  # to be sent along with what is written next
    _waiting: bytes = b""
    _is_plain: bool  # open, and nothing asks for more than to write
    _corked: list[bytes] | None  # is sent when the batch is served
    _corked_size: int

    def write(self, data: bytes) -> None:
        """Send ``data`` after all that was written before it; drop it if the connection is over."""
        if data.__class__ is not bytes:
            data = bytes(data)  # nobody may change it while it waits; text is refused
        corked = self._corked
        if corked is not None:
            corked.append(data)
            self._corked_size += len(data)
            if self._corked_size > CORK_SIZE:
                self._flush()
        elif self._is_plain:
            batch = self._batch
            if batch.is_serving and len(data) <= CORK_SIZE:
                self._corked = [data]
                self._corked_size = len(data)
                batch.outbox.append(self)
            else:
                self._uv.write(data)
        else:
            self._write_with_care(data)

    def join_batch(self, writer: Any) -> bool:
        """Have ``writer._flush()`` called at the end of the batch, ``_failed()`` if that raises; False if none is being served."""
        batch = self._batch
        if not batch.is_serving:
            return False
        batch.outbox.append(writer)
        return True

    def _flush(self) -> None:
        """Send what was kept for the end of the batch."""
        corked, size = self._corked, self._corked_size
        if corked is not None:
            self._corked = None
            self._corked_size = 0
            if self.connected and not self._aborting:
                if len(corked) == 1:
                    self._uv.write(corked[0])
                elif size < GATHER_SIZE:
                    self._uv.write(b"".join(corked))
                else:
                    self._uv.writelines(corked)

    def _write_with_care(self, data: bytes) -> None:
        if not data or not self.connected or self._write_ended or self._aborting:
            return
        if self._descriptors:
            self._write_with_descriptors(data)
            return
        self._uv.write(data)
        if self.producer is not None and not self._congested:
            if not self.streamingProducer:
                self._ask_soon()
            elif self.disconnecting:
                self._uv.close()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Write the pieces as one."""
        Plain.write(self, b"".join(iovec))

    def loseConnection(self) -> None:
        """Close when everything is written, and a producer that was paused or is asked for each piece is done."""
        if self.disconnecting or self.disconnected or self._aborting:
            return
        self.disconnecting = True
        if self._is_plain and self.producer is None:  # the usual way
            self._is_deaf = True
            self._is_plain = False
            if self._corked is not None:
                self._flush()
            self._uv.close()
            return
        if not self.connected:
            return  # connection_made sees to it
        self._is_deaf = True
        self._flush()
        self._choose_write()
        if self._waiting:
            return  # closed when it is sent
        if self.producer is None or (self.streamingProducer and not self._congested):
            self._uv.close()
        else:
            self._uv.pause_reading()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Be fed by ``producer``: paused and resumed if ``streaming``, else asked for each piece."""
        if self.producer is not None:
            raise RuntimeError(
                f"Cannot register producer {producer}, because producer {self.producer} was never unregistered."
            )
        if self.disconnected:
            producer.stopProducing()
            return
        self._flush()
        self.producer = producer
        self.streamingProducer = streaming
        if not streaming:
            if self._uv is not None:
                self._uv.set_write_buffer_limits(0)
            self._choose_write()
            producer.resumeProducing()
        elif self._congested:
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """Be fed no more; close if that is what was waited for."""
        if self.producer is None:
            return
        streaming = self.streamingProducer
        self.producer = None
        if not self.connected:
            return
        if not streaming and self._wants_drained is None:
            self._uv.set_write_buffer_limits(BUFFER_SIZE, 16)
        if self.disconnecting:
            self._uv.close()
        elif self._write_ending:
            self._when_drained(self._end_writing)
        else:
            self._choose_write()

    # What the methods above are made of.

    def _choose_write(self) -> None:
        """Note whether anything asks for more than to write."""
        self._is_plain = not (
            not self.connected
            or self.disconnecting
            or self._write_ended
            or self._aborting
            or self._descriptors
            or (self.producer is not None and not self.streamingProducer)
        )

    def _ask_soon(self) -> None:
        """Ask the pull producer for the next piece, in the next turn."""
        if not self._asking:
            self._asking = True
            self.reactor.loop.call_soon(self._ask)

    def _ask(self) -> None:
        self._asking = False
        if self.producer is not None and not self.streamingProducer and self.connected and not self._congested:
            try:
                self.producer.resumeProducing()
            except BaseException:
                self._failed()

    def _when_drained(self, call: Callable[[], None]) -> None:
        """Call ``call`` when the kernel has all that was written."""
        self._flush()
        if not self._uv.get_write_buffer_size():
            call()
            return
        self._wants_drained = call
        self._uv.set_write_buffer_limits(0)

    def _end_writing(self) -> None:
        raise NotImplementedError

    def _failed(self) -> None:
        raise NotImplementedError

    def _write_with_descriptors(self, data: bytes) -> None:
        raise NotImplementedError
