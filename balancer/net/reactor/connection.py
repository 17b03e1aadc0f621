"""An established stream connection: Twisted's transport for the protocol, asyncio's protocol for uvloop's transport.

::

    libuv ──read──> data_received ──> protocol.dataReceived        (one Python call in between)
    libuv <──write(2), at once──  transport.write                  (none: it is uvloop's own method)

``write`` is uvloop's method itself, set on the connection, as long as nothing asks for more: TLS, a pull producer, a close
or half-close under way, descriptors to be sent along. Then the methods of :class:`Plain` take its place.

A :class:`Connection` is made before libuv has the socket; :meth:`Connection.connection_made`, in the next turn of the
loop, is where the protocol hears of it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet import error, interfaces, main
from twisted.internet._newtls import startTLS
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.protocols.tls import TLSMemoryBIOFactory  # noqa: F401 - without it there is no startTLS
from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import implementer

from balancer.net.transports import to_address

__all__ = ["Connection", "MappedConnection", "Plain"]

BUFFER_SIZE = 65536
"""Bytes that may wait to be sent before a producer is paused; as in Twisted."""

READ_SIZE = 65536

_RESET = struct.pack("ii", 1, 0)


class Plain:
    """Writing and closing as they are without TLS; what TLS itself is given to write to."""

    TLS = False
    connected = False
    disconnected = False
    disconnecting = False
    producer: Any = None
    streamingProducer = False
    protocol: Any
    reactor: Any

    _uv: Any = None  # uvloop's transport, while there is one
    _congested = False  # more is waiting to be sent than may
    _wants_drained: Callable[[], None] | None = None
    _write_ending = False
    _write_ended = False
    _aborting = False
    _asking = False  # the pull producer is about to be asked
    _descriptors: list[int] | None = None  # to be sent along with what is written next
    _waiting: bytes = b""

    def write(self, data: bytes) -> None:
        """Send ``data`` after all that was written before it; drop it if the connection is over."""
        if isinstance(data, str):
            raise TypeError("Data must not be str")
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
        if not self.connected:
            return  # connection_made sees to it
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
        """Make ``write`` uvloop's own method, if nothing asks for more."""
        raise NotImplementedError

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


@implementer(
    interfaces.ITCPTransport,
    interfaces.ITLSTransport,
    interfaces.IConsumer,
    interfaces.IPushProducer,
    interfaces.ISystemHandle,
    interfaces.ILoggingContext,
)
class Connection(Plain):
    """A TCP connection.

    Args:
        reactor: the :class:`~.uv.UVReactor`.
        protocol: Twisted's, told of the connection once libuv has it.
        is_client: whether we opened it: the side that begins a TLS handshake.
        peer: the other end, where it is known already.
        lost: called with the reason once the protocol knows that the connection is over.
        number: which connection of its port it is, counted from 0, and ``place``, where that port is.
    """

    _handle: Any = None
    _opening: Any = None  # uvloop's coroutine that has the transport; one that is thrown away closes it
    _host: Any = None
    _why: Failure | None = None
    _paused = False
    _held: list[bytes] | None = None
    _read_ended = False
    _forgotten = False
    _made: Callable[[], None] | None = None

    def __init__(
        self,
        reactor: Any,
        protocol: Any,
        is_client: bool = False,
        peer: Any = None,
        lost: Callable[[Failure], Any] | None = None,
        number: int = 0,
        place: Any = None,
    ) -> None:
        self.reactor = reactor
        self.sessionno = number
        self._place = place
        self.protocol = protocol
        self._tlsClientDefault = is_client
        self._peer = peer
        self._lost = lost
        reactor.connections.add(self)

    def adopt(self, skt: Any) -> None:
        """Give libuv the connected socket ``skt``: a Python socket, or what looks like one to uvloop."""
        self._handle = skt if isinstance(skt, socket.socket) else None
        self._opening = self.reactor.loop.connect_accepted_socket(lambda: self, skt)
        try:
            self._opening.send(None)
        except BaseException:
            self._end(Failure())
            raise

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
        self._choose_write()
        try:
            self.protocol.makeConnection(self)
        except BaseException:
            self._failed()
        made = self._made
        if made is not None:
            self._made = None
            made()
        if self._aborting:
            uv.abort()
        elif self.disconnecting:
            self.disconnecting = False
            Plain.loseConnection(self)
        elif self._paused:
            self._hold()

    def data_received(self, data: bytes) -> None:
        """Libuv has read something."""
        try:
            self.protocol.dataReceived(data)
        except BaseException:
            self._failed()

    def eof_received(self) -> bool:
        """The other end has sent FIN; whether the connection stays open to write."""
        half = IHalfCloseableProtocol(self.protocol, None)
        if half is None:
            self._uv.abort()
            return True
        self._read_ended = True
        try:
            half.readConnectionLost()
        except BaseException:
            self._failed()
        if self._write_ended:
            self._uv.close()
        return True

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
        reason = self._why
        if reason is None:
            if self._aborting:
                reason = Failure(error.ConnectionAborted())
            elif exc is None:
                reason = Failure(main.CONNECTION_DONE)
            else:
                self._read_the_rest()
                reason = self._why or Failure(main.CONNECTION_LOST)
        self._end(reason)

    # Ends.

    def forget(self) -> None:
        """Close without telling the protocol; whoever calls this may, with :meth:`connectionLost`."""
        self._forgotten = True
        self.reactor.connections = self.reactor.connections - {self}
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
        self._choose_write()
        self.reactor.connections.discard(self)
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
        if self._aborting and self._uv is not None:
            try:
                self._skt().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            except OSError:
                pass
        if self._handle is not None:
            self._handle.detach()  # libuv closes the descriptor
        self._held = None
        if made:
            try:
                self.protocol.connectionLost(reason)
            except BaseException:
                log.err()
        if self._lost is not None:
            self._lost(reason)
        if not made:
            return  # until connection_made: uvloop does not survive a transport that is closed before its call of it
        opening, self._opening = self._opening, None
        if opening is not None:
            try:
                opening.send(None)
            except (StopIteration, RuntimeError):  # it is done; or this is still inside of its connection_made
                pass

    def _failed(self) -> None:
        """Log what the protocol raised, and drop the connection."""
        log.err()
        if self._why is None:
            self._why = Failure()
        if self._uv is not None:
            self._uv.abort()

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
                self.data_received(data)
        except OSError:
            pass

    def abortConnection(self) -> None:
        """Close at once, with a RST; what was not sent is dropped."""
        if self._aborting or self.disconnected:
            return
        self._aborting = True
        self.disconnecting = True
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
        """Send FIN once everything is sent and no producer is left."""
        if not self.connected or self.disconnecting or self._write_ending:
            return
        self._write_ending = True
        if self.producer is None:
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
        if self._read_ended:
            self._uv.close()

    # Writing.

    def _choose_write(self) -> None:
        if self.TLS:
            self.write = self._write_tls  # type: ignore[method-assign]
        elif (
            not self.connected
            or self.disconnecting
            or self._write_ended
            or self._descriptors
            or (self.producer is not None and not self.streamingProducer)
        ):
            self.__dict__.pop("write", None)
        else:
            self.write = self._uv.write  # type: ignore[method-assign]

    def _write_tls(self, data: bytes) -> None:
        if self.connected:
            self.protocol.write(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Write the pieces as one."""
        self.write(b"".join(iovec))

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

    @property
    def queued(self) -> int:
        """Bytes written but not yet taken by the kernel."""
        return 0 if self._uv is None or self.disconnected else int(self._uv.get_write_buffer_size())

    def startTLS(self, ctx: Any, normal: bool = True) -> None:
        """Go on encrypted."""
        startTLS(self, ctx, normal, Plain)
        self._choose_write()

    # Reading.

    @property
    def is_reading(self) -> bool:
        """Whether what arrives is read."""
        return self.connected and bool(self._uv.is_reading())

    def pauseProducing(self) -> None:
        """Read no more for now."""
        self._paused = True
        if self._uv is not None and not self.disconnected:
            self._uv.pause_reading()

    def resumeProducing(self) -> None:
        """Read on."""
        if not self._paused or self.disconnected or self.disconnecting:
            return
        self._paused = False
        if self._uv is None:
            return
        held = self._held
        if held is not None:
            self._held = None
            del self.data_received
            self._uv.set_protocol(self)
            for data in held:
                self.data_received(data)
            if self._paused or self.disconnected:
                return
        if not self._read_ended:
            self._uv.resume_reading()

    def stopProducing(self) -> None:
        """Nothing more is wanted."""
        self.loseConnection()

    stopReading = pauseProducing
    startReading = resumeProducing

    def _hold(self) -> None:
        """Stop a transport that uvloop starts to read right after ``connection_made``: keep what slips through."""
        held = self._held = []

        def keep(data: bytes) -> None:
            held.append(data)
            self._uv.pause_reading()

        self.data_received = keep  # type: ignore[method-assign]
        self._uv.set_protocol(self)
        self.reactor.loop.call_soon(self._pause_held)

    def _pause_held(self) -> None:
        if self._paused and not self.disconnected:
            self._uv.pause_reading()

    # What is known of it.

    def _skt(self) -> socket.socket:
        handle = self._handle
        if handle is None:
            raw = self._uv.get_extra_info("socket")
            handle = self._handle = socket.socket(raw.family, socket.SOCK_STREAM, 0, raw.fileno())
        return handle  # type: ignore[no-any-return]

    def getHandle(self) -> Any:
        """The socket: for options and ``MSG_PEEK``; reading and writing are libuv's."""
        return self._skt() if self._uv is not None or self._handle is not None else None

    def fileno(self) -> int:
        """The descriptor, -1 when it is closed."""
        return -1 if self.disconnected or self._uv is None else self._skt().fileno()

    def getHost(self) -> Any:
        """Our end."""
        if self._host is None:
            self._host = self._named(self._uv.get_extra_info("sockname"))
        return self._host

    def getPeer(self) -> Any:
        """The other end."""
        if self._peer is None:
            self._peer = self._named(self._uv.get_extra_info("peername"))
        return self._peer

    def _named(self, name: Any) -> Any:
        if len(name) == 4 and name[3]:
            name = (socket.getnameinfo(name, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0], *name[1:])
        return IPv6Address("TCP", *name) if ":" in name[0] else IPv4Address("TCP", *name)

    def getTcpNoDelay(self) -> bool:
        """Whether small pieces are sent at once; they are, from the start."""
        return bool(self._skt().getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Send small pieces at once, or gather them."""
        self._skt().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, bool(enabled))

    def getTcpKeepAlive(self) -> bool:
        """Whether the kernel probes an idle connection."""
        return bool(self._skt().getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Let the kernel probe an idle connection."""
        self._skt().setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, bool(enabled))

    def logPrefix(self) -> str:
        """How the log names it."""
        return self.logstr

    @property
    def logstr(self) -> str:
        """How the log names it."""
        prefix = _log_prefix(self.protocol)
        if self._tlsClientDefault:
            return f"{prefix},client"
        where = getattr(self._peer, "host", self._place)
        return f"{prefix},{self.sessionno},{where}"

    @property
    def socket(self) -> Any:
        """As :meth:`getHandle`: where Twisted's transports keep their socket."""
        return self.getHandle()

    def __repr__(self) -> str:
        if self._tlsClientDefault:
            return f"<{_log_prefix(self.protocol)} to {self._peer} at {id(self):x}>"
        return f"<{type(self.protocol).__name__} #{self.sessionno} on {self._place}>"


def _log_prefix(protocol: Any) -> str:
    if interfaces.ILoggingContext.providedBy(protocol):
        return str(protocol.logPrefix())
    return type(protocol).__name__


class MappedConnection(Connection):
    """A connection that shows an IPv4 client of an IPv6 socket as IPv4."""

    def _named(self, name: Any) -> Any:
        return to_address(name)
