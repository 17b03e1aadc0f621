"""An established stream connection: Twisted's transport for the protocol, asyncio's protocol for uvloop's transport.

::

    libuv ── data_received ──> batch ── dataReceived ──> protocol
    libuv <──── one write at the end of the batch ────── transport.write

A :class:`Connection` is made before libuv has the socket; :meth:`Connection.connection_made`, in the next turn of the
loop, is where the protocol hears of it.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet import error, interfaces, main
from twisted.internet._newtls import startTLS
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.protocols.tls import TLSMemoryBIOFactory  # noqa: F401 - without it there is no startTLS
from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import implementer

from balancer.net.reactor.described import Described
from balancer.net.reactor.reading import Reading
from balancer.net.reactor.writing import BUFFER_SIZE, Plain
from balancer.net.transports import to_address

__all__ = ["Connection", "MappedConnection"]

_RESET = struct.pack("ii", 1, 0)

_DONE = Failure(main.CONNECTION_DONE)


@implementer(
    interfaces.ITCPTransport,
    interfaces.ITLSTransport,
    interfaces.IConsumer,
    interfaces.IPushProducer,
    interfaces.ISystemHandle,
    interfaces.ILoggingContext,
)
class Connection(Described, Reading):
    """A TCP connection.

    Args:
        reactor: the :class:`~.uv.UVReactor`.
        protocol: Twisted's, told of the connection once libuv has it.
        is_client: whether we opened it: the side that begins a TLS handshake.
        peer: the other end, where it is known already.
        lost: called with the reason once the protocol knows that the connection is over.
        number: which connection of its port it is, counted from 0, and ``place``, where that port is.
        host: our end, where it is known already.
    """

    # Uvloop's coroutine that opened the connection for a Dial, and waits. To throw it away closes the connection at once;
    # which before connection_made would be the end of the process: uvloop asks for the addresses of a handle that it
    # has freed.
    _opening: Any
    _made: Callable[[], None] | None
    _end_is_known = False  # to the protocol
    _forgotten = False

    # To uvloop, which opens a descriptor only with the socket that has it, this is that socket too: see adopt.
    family = socket.AF_INET  # or AF_INET6: uvloop does not care which
    type = socket.SOCK_STREAM

    def __init__(
        self,
        reactor: Any,
        protocol: Any,
        is_client: bool = False,
        peer: Any = None,
        lost: Callable[[Failure], Any] | None = None,
        number: int = 0,
        place: Any = None,
        host: Any = None,
    ) -> None:
        self.connected = self.disconnected = self.disconnecting = self.streamingProducer = False
        self._aborting = self._congested = self._is_deaf = self._is_plain = False
        self._paused = self._read_ended = self._write_ended = False
        self.producer = self._corked = self._handle = self._made = self._opening = self._uv = self._why = None
        self._corked_size = 0
        self._descriptor = -1
        self.reactor = reactor
        self._batch = reactor.batch
        self._host = host
        self.sessionno = number
        self._place = place
        self.protocol = protocol
        self._tlsClientDefault = is_client
        self._peer = peer
        self._lost = lost
        reactor.connections.add(self)

    def adopt(self, descriptor: int) -> None:
        """Give libuv the connected socket ``descriptor``.

        Uvloop does that in a coroutine, which waits until :meth:`connection_made` is through only to return the transport.
        With its future, its frame and what it holds it would take 0.8 kB for as long as it waits. So it is told at once
        that it need not, and the future is made a new one again, for uvloop to give the result that nobody waits for.

        The connection itself is the socket that uvloop asks for. It closes that when it has closed the descriptor: so the
        protocol hears of the end when that has come, and not, as by :meth:`connection_lost`, a moment before.
        """
        self._descriptor = descriptor
        loop = self.reactor.loop
        try:
            opening = loop.connect_accepted_socket([self].pop, self)  # a function that returns self, without a frame
            waiter = opening.send(None)
        except BaseException:  # libuv does not want it, and has not got it
            self._descriptor = -1
            self._end(Failure())
            os.close(descriptor)
            raise
        waiter.set_result(None)
        try:
            opening.send(None)
        except StopIteration:
            pass
        waiter.__init__(loop=loop)

    def close(self) -> None:
        """Uvloop has closed the descriptor."""
        if not (self.disconnected or self._forgotten):
            self._end(_DONE if self._why is None else self._why)

    # asyncio's protocol.

    def connection_made(self, uv: Any) -> None:
        """Libuv has the connection."""
        if self.disconnected:
            uv.abort()
            return
        self._uv = uv
        self.connected = True
        if self.producer is not None and not self.streamingProducer:
            uv.set_write_buffer_limits(0)
        if self.disconnecting or self.producer is not None or self._descriptors:
            self._choose_write()
        else:
            self._is_plain = True
        try:
            self.protocol.makeConnection(self)
        except BaseException:
            self._failed()
            self._aborting = True
        made = self._made
        if made is not None:
            self._made = None
            made()
        if self._aborting:
            uv.abort()
        elif self.disconnecting:
            self.disconnecting = False
            Plain.loseConnection(self)

    def eof_received(self) -> bool:
        """The other end has sent FIN; libuv keeps the connection open."""
        self._read_ended = True
        self._batch.add(self, b"")
        return True

    def _ended_reading(self) -> None:
        """Tell a protocol that knows half-closed connections; close any other, as Twisted does."""
        half = IHalfCloseableProtocol(self.protocol, None)
        if half is None:
            self._flush()
            self._uv.abort()
            return
        try:
            half.readConnectionLost()
        except BaseException:
            self._failed()
        self._end_is_known = True
        if self._write_ended:
            self._uv.close()

    def pause_writing(self) -> None:
        """Too much is waiting to be sent."""
        self._congested = True
        if self.producer is not None and self.streamingProducer:
            self.producer.pauseProducing()

    def resume_writing(self) -> None:
        """All, or nearly all, is sent."""
        self._congested = False
        if self._wants_drained is not None:
            call, self._wants_drained = self._wants_drained, None
            self._uv.set_write_buffer_limits(BUFFER_SIZE, 16)
            call()
        if self.producer is not None:
            try:
                self.producer.resumeProducing()
            except BaseException:
                self._failed()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is over; libuv closes the socket after this."""
        if self.disconnected or self._forgotten:
            return
        if self._aborting:
            if self._why is None:
                self._why = Failure(error.ConnectionAborted())
            try:
                self._skt().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            except OSError:
                pass
        elif exc is not None and self._why is None:
            self._read_the_rest()
            if self._why is None:
                self._why = Failure(main.CONNECTION_LOST)
        if self._opening is not None:
            self._opening = None  # closes it
            self.close()

    # Ends.

    def forget(self) -> None:
        """Close without telling the protocol; whoever calls this may, with :meth:`connectionLost`."""
        self._forgotten = self._is_deaf = True
        if self._uv is not None:
            self._uv.abort()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops."""
        if self._uv is not None:
            self._uv.abort()
        self._end(reason)

    def _end(self, reason: Failure) -> None:
        if self.disconnected:
            return
        made = self.connected
        self.disconnected = True
        self.connected = False
        self._is_deaf = True
        self._is_plain = False
        self.reactor.connections.discard(self)
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
        if self._handle is not None:
            self._handle.detach()  # libuv closes the descriptor
        if self._held is not None:
            self._held = None
        # The protocol refers to this; what is over is to be freed at once, not when the collector finds the circle.
        protocol, self.protocol = self.protocol, None
        lost, self._lost = self._lost, None
        if made:
            try:
                protocol.connectionLost(reason)
            except BaseException:
                log.err()
        if lost is not None:
            lost(reason)

    def _failed(self) -> None:
        """Log what the protocol raised, and drop the connection."""
        log.err()
        if self._why is None:
            self._why = Failure()
        self._is_deaf = True
        if self._uv is not None:
            self._uv.abort()

    def abortConnection(self) -> None:
        """Close at once, with a RST; what was not sent is dropped."""
        if self._aborting or self.disconnected:
            return
        self._aborting = self._is_deaf = True
        self.disconnecting = True
        self._corked = None
        self._corked_size = 0
        if self._uv is not None:
            self._choose_write()
            self._uv.abort()

    def loseConnection(self) -> None:
        """Close once everything is sent; with TLS, end that first."""
        if self.TLS:
            if self.connected and not self.disconnecting:
                self.protocol.loseConnection()
        else:
            Plain.loseConnection(self)

    def loseWriteConnection(self) -> None:
        """Send FIN once everything is sent; a producer that was paused, or is asked for each piece, must be done first."""
        if not self.connected or self.disconnecting or self._write_ending:
            return
        self._write_ending = True
        if self.producer is None or (self.streamingProducer and not self._congested):
            self._when_drained(self._end_writing)

    def _end_writing(self) -> None:
        if not self.connected or self._write_ended:
            return
        self._write_ended = True
        self._choose_write()
        try:
            self._skt().shutdown(socket.SHUT_WR)
        except OSError:
            self._uv.abort()
            return
        half = IHalfCloseableProtocol(self.protocol, None)
        if half is not None:
            try:
                half.writeConnectionLost()
            except BaseException:
                self._failed()
        if self._end_is_known:
            self._uv.close()

    # Writing.

    def _write_with_care(self, data: bytes) -> None:
        if not self.TLS:
            Plain._write_with_care(self, data)
        elif self.connected:
            self.protocol.write(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Write the pieces as one."""
        try:
            data = b"".join(iovec)
        except TypeError:
            raise TypeError("Data must be bytes") from None
        self.write(data)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Be fed by ``producer``; through TLS where there is some."""
        if self.TLS:
            self.protocol.registerProducer(producer, streaming)
        else:
            Plain.registerProducer(self, producer, streaming)

    def unregisterProducer(self) -> None:
        """Be fed no more."""
        if self.TLS:
            self.protocol.unregisterProducer()
        else:
            Plain.unregisterProducer(self)

    def stopConsuming(self) -> None:
        """Take no more from the producer, and close."""
        self.unregisterProducer()
        self.loseConnection()

    @property
    def queued(self) -> int:
        """Bytes written but not yet taken by the kernel."""
        if self._uv is None or self.disconnected:
            return 0
        return self._corked_size + int(self._uv.get_write_buffer_size())

    def startTLS(self, ctx: Any, normal: bool = True) -> None:
        """Go on encrypted."""
        self._flush()
        startTLS(self, ctx, normal, _Bypass)
        self._choose_write()

    def _choose_write(self) -> None:
        Plain._choose_write(self)
        if self.TLS:
            self._is_plain = False


class _Bypass(Plain):
    """How TLS writes to the connection that it is started on."""

    def write(self, data: bytes) -> None:
        """Send what is encrypted."""
        Plain._write_with_care(self, data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send what is encrypted."""
        Plain._write_with_care(self, b"".join(iovec))


class MappedConnection(Connection):
    """A connection that shows an IPv4 client of an IPv6 socket as IPv4."""

    def _named(self, name: Any) -> Any:
        return to_address(name)
