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


class _Quick(Accepting):
    """A port that accepts descriptors: a socket of Python's would cost 3 µs more."""

    if TYPE_CHECKING:  # what Twisted leaves without types
        addressFamily: Any

    def _accept(self) -> tuple[int, int, Any]:
        descriptor, client = self.socket._accept()
        return descriptor, descriptor, client

    def _refuse(self, skt: int) -> None:
        os.close(skt)

    def _build(self, skt: int, peer: Any) -> Any:
        """Return the protocol for ``skt``; close it if there is to be none."""
        try:
            protocol = self.factory.buildProtocol(peer)
        except BaseException:
            os.close(skt)
            raise
        if protocol is None:
            os.close(skt)
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

    def _accepted(self, skt: int, client: Any) -> None:
        peer = self._buildAddr(scoped(client))
        protocol = self._build(skt, peer)
        if protocol is None:
            return
        number = self.sessionno
        self.sessionno = number + 1
        Connection(self.reactor, protocol, False, peer, None, number, self._realPortNumber).adopt(skt)


class ListenerPort(_Quick, ServerPort):
    """What the balancer's listeners open: an IPv4 client of an IPv6 port is shown as IPv4."""

    def _accepted(self, skt: int, client: Any) -> None:
        peer = to_address(client if len(client) == 2 else scoped(client))
        protocol = self._build(skt, peer)
        if protocol is None:
            return
        number = self.sessionno
        self.sessionno = number + 1
        MappedConnection(self.reactor, protocol, False, peer, None, number, self._realPortNumber, self.host).adopt(skt)


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

    def _accepted(self, skt: int, client: Any) -> None:
        peer = UNIXAddress(client or None)
        protocol = self._build(skt, peer)
        if protocol is None:
            return
        number = self.sessionno
        self.sessionno = number + 1
        if takes_descriptors(protocol):
            plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, skt)
            plain.setblocking(False)
            protocol.makeConnection(unix.Server(plain, protocol, client, self, number, self.reactor))
        else:
            UNIXConnection(self.reactor, protocol, False, peer, None, number, self.socket.getsockname()).adopt(skt)


class AdoptedUNIXPort(Adopted, UNIXPort):
    """A unix socket that others serve as well."""
