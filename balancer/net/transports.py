"""Connections and listening ports of TCP and unix sockets, made of :class:`~.stream.Stream`."""

from __future__ import annotations

import _socket
import errno
import os
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from twisted.internet import tcp, unix
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IProtocol, IReactorFDSet
from twisted.logger import Logger
from twisted.python.failure import Failure

from balancer.net.descriptors import ceiling, is_scarce
from balancer.net.lag import waited
from balancer.net.stream import Stream

__all__ = [
    "Accepting",
    "ClientTransport",
    "ServerPort",
    "ServerTransport",
    "UNIXClientTransport",
    "UNIXServerTransport",
    "plain",
    "to_address",
]

ACCEPTS_PER_WAKEUP = 64
"""Connections accepted before the reactor gets its turn again."""

ACCEPTS_WHEN_LATE = 512
"""The same while those who come have waited for :data:`LATE` seconds: long turns must not let few in."""
LATE = 0.05
_WAKEUPS_AT_THE_END = 64

ACCEPT_PAUSE = 0.1
"""Seconds without accepting after the process ran out of descriptors or memory; clients wait in the backlog."""

_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_NEXT_CLIENT = (errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.EINTR)

_log = Logger()


class _Addressed(Stream):
    """A TCP connection that looks its addresses up once; an IPv4 client of an IPv6 socket is shown as IPv4."""

    _host: IPv4Address | IPv6Address | None = None
    _peer: IPv4Address | IPv6Address | None = None

    def getHost(self) -> Any:
        """Our end."""
        if self._host is None:
            self._host = to_address(self.socket.getsockname())
        return self._host

    def getPeer(self) -> Any:
        """The other end."""
        if self._peer is None:
            self._peer = to_address(self.socket.getpeername())
        return self._peer


class ServerTransport(_Addressed, tcp.Server):
    """An accepted TCP connection."""

    def __init__(
        self,
        sock: socket.socket,
        protocol: IProtocol,
        client: tuple[Any, ...],
        server: tcp.Port,
        sessionno: int,
        reactor: IReactorFDSet,
    ) -> None:
        self._begin(sock, protocol, reactor)
        self.server = server
        self.client = client
        self.sessionno = sessionno
        self.hostname = client[0]
        if isinstance(server, ServerPort):
            self._host = server.host
        if not getattr(server, "passes_nodelay_on", False):
            self.setTcpNoDelay(True)
        self.is_reading = True
        reactor.addReader(self)
        self.connected = 1

    connectionLost = Stream._lose

    @property
    def logstr(self) -> str:  # type: ignore[override]  # made when asked for: hardly ever
        """How the reactor names this in its log."""
        return f"{self._getLogPrefix(self.protocol)},{self.sessionno},{self.hostname}"

    def __repr__(self) -> str:
        port = getattr(self.server, "_realPortNumber", None)
        return f"<{type(getattr(self, 'protocol', None)).__name__} #{self.sessionno} on {port}>"

    def getPeer(self) -> Any:
        """The client, as accept() said: the kernel has forgotten it when it has reset the connection meanwhile."""
        if self._peer is None:
            self._peer = to_address(self.client)
        return self._peer


class UNIXServerTransport(Stream, unix.Server):
    """An accepted connection of a unix socket. Descriptors that a peer may send along are dropped."""

    def __init__(
        self,
        sock: socket.socket,
        protocol: IProtocol,
        client: Any,
        server: tcp.Port,
        sessionno: int,
        reactor: IReactorFDSet,
    ) -> None:
        self._take_socket(sock, reactor)
        unix.Server.__init__(self, sock, protocol, client, server, sessionno, reactor)


class _Outgoing(Stream):
    """What the connections that we open have in common; made by :mod:`balancer.net.connecting` once connected."""

    _tlsClientDefault = True
    _base = tcp.Connection

    def __init__(self, skt: socket.socket, protocol: IProtocol, reactor: IReactorFDSet) -> None:
        self._begin(skt, protocol, reactor)

    connectionLost = Stream._lose

    @property
    def logstr(self) -> str:  # type: ignore[override]  # made when asked for: hardly ever
        """How the reactor names this in its log."""
        return f"{self._getLogPrefix(self.protocol)},client"

    def start(self, watched: Any = None) -> None:
        """Begin to read, and tell the protocol that it is connected.

        ``watched`` is watched for writing at present, has our descriptor, and is not to be watched any more.
        """
        self.connected = 1
        if watched is None:
            self.startReading()
        elif hasattr(self.reactor, "turn_to_reading"):
            self.is_reading = True
            self.reactor.turn_to_reading(watched, self)
        else:
            self.reactor.removeWriter(watched)
            self.startReading()
        self.protocol.makeConnection(self)


class ClientTransport(_Outgoing, _Addressed):
    """A TCP connection to a server."""

    def __init__(self, skt: socket.socket, protocol: IProtocol, reactor: IReactorFDSet) -> None:
        self._begin(skt, protocol, reactor)
        skt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __repr__(self) -> str:
        return f"<connection to {self._peer}>" if self._peer else "<connection to a server>"


class UNIXClientTransport(_Outgoing):
    """A connection to a server's unix socket."""

    def getHost(self) -> UNIXAddress:
        """Our end, which has no name."""
        return UNIXAddress(self.socket.getsockname() or None)

    def getPeer(self) -> UNIXAddress:
        """The server's path."""
        return UNIXAddress(self.socket.getpeername())


class Accepting:
    """How a listening port accepts.

    Up to :data:`ACCEPTS_PER_WAKEUP` connections at once; when the process has no descriptors left it stops for
    :data:`ACCEPT_PAUSE` seconds instead of spinning: the kernel's backlog holds the clients.

    Where the factory has them it calls ``waited(seconds)`` with the wait in the backlog of the first of those that it
    accepts in one go, and ``turns_away(descriptor, client)``, which may answer a connection before a transport is made
    for it: if that returns true, the connection is closed. ``build_for(host, port)`` is called instead of ``buildProtocol``. ``short_of_descriptors()`` is called at each pause; a factory
    that has it serves traffic, to which the reserve of :mod:`.descriptors` is closed.
    """

    pauses = 0
    _near_the_end = False
    _was_short = False
    _is_empty = False
    _turns_away: Callable[[int, Any], bool] | None = None

    if TYPE_CHECKING:  # what Twisted leaves without types
        reactor: Any
        factory: Any
        socket: Any
        disconnecting: Any
        connected: Any
        port: Any
        _realPortNumber: int | None
        sessionno: int

        def startReading(self) -> None: ...
        def stopReading(self) -> None: ...

    def accept_all(self) -> None:
        """Accept all that wait, until there are none or no descriptors for them."""
        for _ in range(_WAKEUPS_AT_THE_END):
            pauses, self._is_empty = self.pauses, False
            if self.connected and not self.disconnecting:
                self.doRead()
            if self._is_empty or self.pauses != pauses:
                return

    def doRead(self) -> None:
        """Accept those who wait."""
        accept = self._accept
        left = -1
        while left:
            if (self._near_the_end or self._was_short) and self._is_traffic() and is_scarce():
                self._pause(OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
                return
            try:
                skt, number, client = accept()
            except BlockingIOError:
                self._was_short = False
                self._is_empty = True
                return
            except OSError as error:
                if error.errno in _NEXT_CLIENT:
                    continue
                if error.errno not in _OUT_OF_RESOURCES:
                    raise
                self._pause(error)
                return
            self._near_the_end = number >= ceiling() - 1
            left = self._first(number) if left < 0 else left - 1
            try:
                if self._turns_away is not None and self._turns_away(number, client):
                    self._refuse(skt)
                else:
                    self._accepted(skt, client)
            except Exception:
                # The top of a connection: one that cannot be set up must not take the listener with it.
                _log.failure("a connection to port {port} could not be set up", port=self._realPortNumber or self.port)
            if self.disconnecting or not self.connected:
                return

    def _first(self, number: int) -> int:
        """Note how long the first of many has waited; return how many more to accept in one go."""
        factory = self.factory
        self._turns_away = getattr(factory, "turns_away", None)
        note: Callable[[float], Any] | None = getattr(factory, "waited", None)
        if note is None or self._was_short:  # who waited for a descriptor says nothing of our pace
            return ACCEPTS_PER_WAKEUP - 1
        seconds = waited(number)
        note(seconds)
        return (ACCEPTS_WHEN_LATE if seconds >= LATE else ACCEPTS_PER_WAKEUP) - 1

    def _is_traffic(self) -> bool:
        return hasattr(self.factory, "short_of_descriptors")

    def _accept(self) -> tuple[Any, int, Any]:
        """Return one who waits: a socket or what stands for it, its descriptor, and the client's address."""
        skt, client = self.socket.accept()
        return skt, skt.fileno(), client

    def _accepted(self, skt: Any, client: Any) -> None:
        """Make a connection of ``skt``."""
        raise NotImplementedError

    def _refuse(self, skt: Any) -> None:
        """Close ``skt``."""
        skt.close()

    def _pause(self, error: OSError) -> None:
        self.pauses += 1
        self._was_short = True
        short: Callable[[], Any] | None = getattr(self.factory, "short_of_descriptors", None)
        if short is not None:
            short()
        if self.pauses & (self.pauses - 1) == 0:  # said the 1st, 2nd, 4th, 8th… time
            _log.warn(
                "port {port}: no connection accepted for {pause} s: {error} (pause number {pauses})",
                port=self._realPortNumber or self.port,
                pause=ACCEPT_PAUSE,
                error=error.strerror,
                pauses=self.pauses,
            )
        self.stopReading()
        self.reactor.callLater(ACCEPT_PAUSE, self._resume)

    def _resume(self) -> None:
        if self.connected and not self.disconnecting:
            self.startReading()


class ServerPort(Accepting, tcp.Port):
    """A listening TCP port that makes :class:`ServerTransport` of what it accepts.

    ``dual_stack`` on an IPv6 wildcard takes IPv4 clients too; otherwise an IPv6 port takes IPv6 only, so that
    ``0.0.0.0:80`` and ``[::]:80`` can stand side by side.
    """

    transport = ServerTransport
    host: IPv4Address | IPv6Address | None = None
    """Our end of every connection accepted, where it is known beforehand: the port is bound to one IPv4 address."""
    passes_nodelay_on = False
    """Whether connections accepted inherit TCP_NODELAY, as on Linux."""
    is_ours = False
    """Whether this process has opened the socket, which then ends with this port whoever else has it."""

    if TYPE_CHECKING:  # what Twisted leaves without types
        reactor: Any
        factory: Any

        def startReading(self) -> None: ...
        def stopReading(self) -> None: ...

    def __init__(
        self,
        port: int,
        factory: Any,
        backlog: int = 50,
        interface: str = "",
        reactor: Any = None,
        dual_stack: bool = False,
    ) -> None:
        super().__init__(port, factory, backlog, interface, reactor)
        self._dual_stack = dual_stack

    def startListening(self) -> None:
        """Bind and listen, and find out what then holds for every connection."""
        self.is_ours = self._preexistingSocket is None
        super().startListening()
        name = self.socket.getsockname()
        if self.addressFamily == socket.AF_INET and name[0] != "0.0.0.0":
            self.host = to_address(name)
        if sys.platform == "linux":
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.passes_nodelay_on = True

    def createInternetSocket(self) -> socket.socket:
        """Return the socket to bind."""
        skt = cast(socket.socket, super().createInternetSocket())
        if self.addressFamily == socket.AF_INET6:
            skt.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if self._dual_stack else 1)
        return skt

    def _accept(self) -> tuple[Any, int, Any]:
        # The class that Python's is made of: 4 µs less to make and to close.
        descriptor, client = self.socket._accept()
        return _socket.socket(self.addressFamily, socket.SOCK_STREAM, 0, descriptor), descriptor, client

    def _accepted(self, skt: Any, client: Any) -> None:
        if len(client) == 4 and client[3]:
            # A link-local client: its scope belongs to its address.
            name = socket.getnameinfo(client, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
            client = (name, *client[1:])
        build: Callable[[str, int], IProtocol | None] | None = getattr(self.factory, "build_for", None)
        protocol = (
            self.factory.buildProtocol(to_address(client)) if build is None else build(plain(client[0]), client[1])
        )
        if protocol is None:
            skt.close()
            return
        number = self.sessionno
        self.sessionno = number + 1
        try:
            transport: Any = self.transport(skt, protocol, client, self, number, self.reactor)
        except Exception:
            skt.close()
            protocol.connectionLost(Failure())
            raise
        try:
            protocol.makeConnection(transport)
        except Exception:
            transport.abortConnection()
            raise


def to_address(name: tuple[Any, ...]) -> IPv4Address | IPv6Address:
    """Return a socket's name as a Twisted address; an IPv4-mapped IPv6 address becomes the IPv4 address it is."""
    host = plain(name[0])
    return IPv6Address("TCP", *name) if ":" in host else IPv4Address("TCP", host, name[1])


def plain(host: str) -> str:
    """Return an IPv4-mapped IPv6 address as the IPv4 address it is, any other as given."""
    return host[7:] if host.startswith("::ffff:") and "." in host else host
