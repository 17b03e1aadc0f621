"""Connections of unix sockets on libuv."""

from __future__ import annotations

import array
import socket
from typing import Any

from twisted.internet import error, interfaces, main
from twisted.internet.address import UNIXAddress
from twisted.python.failure import Failure
from zope.interface import implementer

from balancer.net.reactor.connection import Connection
from balancer.net.reactor.writing import Plain

__all__ = ["UNIXConnection", "takes_descriptors"]


def takes_descriptors(protocol: Any) -> bool:
    """Whether ``protocol`` wants descriptors that are sent to it, which libuv would drop."""
    return bool(interfaces.IFileDescriptorReceiver.providedBy(protocol))


@implementer(interfaces.IUNIXTransport)
class UNIXConnection(Connection):
    """A connection of a unix socket, which can send descriptors along with data.

    To receive some is another matter: libuv would drop them. A protocol that provides
    :class:`~twisted.internet.interfaces.IFileDescriptorReceiver` gets one of Twisted's own transports instead.
    """

    _waiting: bytes = b""  # is sent, with descriptors, when all before it is
    family = socket.AF_UNIX

    def sendFileDescriptor(self, descriptor: int) -> None:
        """Send ``descriptor`` with the first byte written after this that has none yet."""
        if self._descriptors is None:
            self._descriptors = []
        self._descriptors.append(descriptor)
        self._choose_write()
        self.reactor.callLater(0, self._check_overrun)

    def _check_overrun(self) -> None:
        """Nothing was written that could carry a descriptor: that is a mistake in the program, as in Twisted."""
        if self._descriptors and not self._waiting and self.connected:
            self._overrun()

    def _overrun(self) -> None:
        self._why = Failure(error.FileDescriptorOverrun())
        self._uv.abort()

    def _write_with_descriptors(self, data: bytes) -> None:
        """Send one byte for each descriptor with it, then the rest."""
        queued = bool(self._waiting)
        self._waiting += data
        if not queued:
            self._when_drained(self._send_descriptors)

    def _send_descriptors(self) -> None:
        descriptors, data = self._descriptors or [], self._waiting
        if not self.connected:
            return
        if len(descriptors) > len(data):
            self._overrun()
            return
        skt = self._skt()
        while descriptors:
            rights = array.array("i", descriptors[:1])
            try:
                skt.sendmsg((data[:1],), ((socket.SOL_SOCKET, socket.SCM_RIGHTS, rights),), socket.MSG_DONTWAIT)
            except BlockingIOError:
                self._waiting = data
                self.reactor.callLater(0.01, self._send_descriptors)  # the peer does not read: rare, and no hurry
                return
            except OSError:
                self._why = Failure(main.CONNECTION_LOST)
                self._uv.abort()
                return
            del descriptors[0]
            data = data[1:]
        self._waiting = b""
        self._choose_write()
        self._uv.write(data)
        if self.disconnecting:
            self.disconnecting = False
            Plain.loseConnection(self)

    def getHost(self) -> Any:
        """Our end: a path at a listening port, no name at a client."""
        if self._host is None:
            self._host = UNIXAddress(self._uv.get_extra_info("sockname") or None)
        return self._host

    def getPeer(self) -> Any:
        """The other end."""
        if self._peer is None:
            self._peer = UNIXAddress(self._uv.get_extra_info("peername") or None)
        return self._peer

    def getTcpNoDelay(self) -> bool:
        """There is no such option on a unix socket."""
        return False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """There is no such option on a unix socket."""
