"""Listening ports whose connections are libuv's.

Accepting is our own (:class:`~balancer.net.transports.Accepting`) and not libuv's: libuv closes the clients it has no
descriptors for, and uvloop closes the port at any other error, such as one that a packet filter makes.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp, unix
from twisted.internet.address import UNIXAddress

from balancer.net.adopted import Adopted
from balancer.net.reactor.connection import Connection, MappedConnection
from balancer.net.reactor.unix import UNIXConnection, takes_descriptors
from balancer.net.transports import Accepting, ServerPort, to_address

__all__ = ["AdoptedUNIXPort", "ListenerPort", "TCPPort", "UNIXPort", "scoped"]


def scoped(name: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a socket's name with the scope in the address, where an IPv6 address has one."""
    if len(name) == 4 and name[3]:
        return (socket.getnameinfo(name, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0], *name[1:])
    return name


class Accepted:
    """A descriptor that looks like a socket to uvloop, which closes it; one of Python's would cost 3 µs more."""

    __slots__ = ("_descriptor", "family")
    type = socket.SOCK_STREAM

    def __init__(self, descriptor: int, family: int) -> None:
        self._descriptor = descriptor
        self.family = family

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def close(self) -> None:
        """Nothing: uvloop calls this when it has closed the descriptor."""

    def refuse(self) -> None:
        """Close the descriptor, which uvloop never had."""
        os.close(self._descriptor)


class _Quick(Accepting):
    """A port that accepts descriptors."""

    if TYPE_CHECKING:  # what Twisted leaves without types
        addressFamily: Any

    def _accept(self) -> tuple[Accepted, Any]:
        descriptor, client = self.socket._accept()
        return Accepted(descriptor, self.addressFamily), client

    def _refuse(self, skt: Accepted) -> None:
        skt.refuse()

    def _build(self, skt: Accepted, peer: Any) -> Any:
        """Return the protocol for ``skt``; close it if there is to be none."""
        try:
            protocol = self.factory.buildProtocol(peer)
        except BaseException:
            skt.refuse()
            raise
        if protocol is None:
            skt.refuse()
        return protocol


class TCPPort(_Quick, tcp.Port):
    """What ``listenTCP`` opens."""

    if TYPE_CHECKING:  # what Twisted leaves without types
        reactor: Any
        factory: Any
        socket: Any
        sessionno: int
        port: Any

        def startReading(self) -> None: ...
        def stopReading(self) -> None: ...
        def _buildAddr(self, name: Any) -> Any: ...

    def _accepted(self, skt: Accepted, client: Any) -> None:
        peer = self._buildAddr(scoped(client))
        protocol = self._build(skt, peer)
        if protocol is None:
            return
        number = self.sessionno
        self.sessionno = number + 1
        Connection(self.reactor, protocol, False, peer, None, number, self._realPortNumber).adopt(skt)


class ListenerPort(_Quick, ServerPort):
    """What the balancer's listeners open: an IPv4 client of an IPv6 port is shown as IPv4."""

    def _accepted(self, skt: Accepted, client: Any) -> None:
        peer = to_address(scoped(client))
        protocol = self._build(skt, peer)
        if protocol is None:
            return
        number = self.sessionno
        self.sessionno = number + 1
        MappedConnection(self.reactor, protocol, False, peer, None, number, self._realPortNumber).adopt(skt)


class UNIXPort(_Quick, unix.Port):
    """What ``listenUNIX`` opens."""

    if TYPE_CHECKING:  # what Twisted leaves without types
        reactor: Any
        factory: Any
        socket: Any
        sessionno: int
        port: Any

        def startReading(self) -> None: ...
        def stopReading(self) -> None: ...

    def _accepted(self, skt: Accepted, client: Any) -> None:
        peer = UNIXAddress(client or None)
        protocol = self._build(skt, peer)
        if protocol is None:
            return
        number = self.sessionno
        self.sessionno = number + 1
        if takes_descriptors(protocol):
            plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, skt.fileno())
            plain.setblocking(False)
            protocol.makeConnection(unix.Server(plain, protocol, client, self, number, self.reactor))
        else:
            UNIXConnection(self.reactor, protocol, False, peer, None, number, self.socket.getsockname()).adopt(skt)


class AdoptedUNIXPort(Adopted, UNIXPort):
    """A unix socket that others serve as well."""
