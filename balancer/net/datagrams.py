"""Datagram sockets on a reactor that watches descriptors: one that is bound, and one that is connected.

Twisted's own UDP port reads one datagram after another as these do, but cannot say on which of our addresses a
datagram came, and on a machine with several addresses a reply has to leave from that one. A :class:`DatagramPort` on a
wildcard address asks the kernel (``IP_PKTINFO``, RFC 3542 section 6) and answers from there; where the system cannot
tell (anywhere but Linux, for IPv4) the kernel picks the address by its routes.

Both read up to :data:`READS_PER_WAKEUP` datagrams before the reactor gets its turn again. What the kernel has no room
to send is dropped and counted, as a router would.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from balancer import errors
from balancer.errors import BalancerError, ExchangeError
from balancer.model.address import Address
from balancer.net.connecting import error_of
from balancer.net.listening import resolve_bind, why_not
from balancer.net.transports import plain

__all__ = ["DatagramPort", "DatagramSocket", "Origin"]

READS_PER_WAKEUP = 64
LARGEST = 65535
RECEIVE_BUFFER = 1 << 20

_IP_PKTINFO = 8  # Linux; the socket module of Python 3.11 does not name it
_CAN_TELL_V4 = sys.platform == "linux"

Origin = tuple[Any, ...]
"""Where a datagram came from, as far as a reply needs it: the client's socket name, and ancillary data or None."""

_log = Logger()


class _Descriptor:
    """What both sockets have in common: being watched, and being closed."""

    def __init__(self, reactor: Any, skt: socket.socket) -> None:
        self._reactor = reactor
        self._socket: socket.socket | None = skt
        self.dropped = 0  # datagrams that the kernel had no room for, or that were too long

    def fileno(self) -> int:
        """The socket's descriptor, -1 once closed."""
        return -1 if self._socket is None else self._socket.fileno()

    def close(self) -> None:
        """Close the socket; harmless if it is closed."""
        if self._socket is not None:
            self._reactor.removeReader(self)
            self._socket.close()
            self._socket = None

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends; or it takes an error on the socket for the end of a connection, which there is none of."""
        if self._socket is not None and reason.check(ConnectionDone):
            number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                self._failed(OSError(number, os.strerror(number)))
            if self._socket is not None:
                self._reactor.addReader(self)
        else:
            self.close()

    def _failed(self, error: OSError) -> None:
        """The kernel reports ``error``."""
        raise NotImplementedError

    def logPrefix(self) -> str:
        """How the reactor names this in its log."""
        return type(self).__name__


@implementer(IReadDescriptor)
class DatagramPort(_Descriptor):
    """A bound UDP socket.

    Args:
        reactor: watches the socket.
        bind: ``10.0.0.1:53``, ``[::1]:53``, ``*:53`` (IPv4 and IPv6) or ``localhost:53``.
        received: called with ``(data, origin, local)`` for each datagram: ``origin`` is for :meth:`reply`, ``local``
            the address on which it came. Equal origins are one client on one of our addresses.

    Raises:
        BalancerError: naming the address and what is wrong with it.
    """

    def __init__(self, reactor: Any, bind: str, received: Callable[[bytes, Origin, str], Any]) -> None:
        if not IReactorFDSet.providedBy(reactor):
            raise BalancerError(f"cannot listen on {bind}: the reactor {type(reactor).__name__} watches no descriptors")
        if bind.startswith("unix:") or not bind.rpartition(":")[2].isdecimal():
            raise BalancerError(f"cannot listen on {bind}: UDP takes host:port, [IPv6]:port or *:port")
        host, port, dual_stack = resolve_bind(bind)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        skt = None
        try:
            skt = socket.socket(family, socket.SOCK_DGRAM)
            skt.setblocking(False)
            skt.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)  # the kernel caps it
            if family == socket.AF_INET6:
                skt.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual_stack else 1)
            wildcard = host in ("0.0.0.0", "::")
            if wildcard and family == socket.AF_INET6:
                skt.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            elif wildcard and _CAN_TELL_V4:
                skt.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            skt.bind(socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0][4])
        except OSError as refused:
            if skt is not None:
                skt.close()
            raise BalancerError(f"cannot listen on {bind}: {why_not(refused)}") from refused
        super().__init__(reactor, skt)
        self._received = received
        self._asks = wildcard and (family == socket.AF_INET6 or _CAN_TELL_V4)
        name = skt.getsockname()
        self.address = Address(name[0], name[1])
        self._local = str(name[0])
        reactor.addReader(self)

    def doRead(self) -> None:
        """Hand on what has arrived."""
        for _ in range(READS_PER_WAKEUP):
            skt = self._socket
            if skt is None:
                return
            try:
                if self._asks:
                    data, ancillary, _flags, name = skt.recvmsg(LARGEST, 128)
                    source, local = _local_end(ancillary, self._local)
                    origin: Origin = (name, source)
                else:
                    data, name = skt.recvfrom(LARGEST)
                    local = self._local
                    origin = (name, None)
            except BlockingIOError:
                return
            except OSError as failed:
                self._failed(failed)
                return
            self._received(data, origin, local)

    def _failed(self, error: OSError) -> None:
        _log.warn("UDP {address}: {error}", address=self.address, error=error.strerror)

    def reply(self, data: bytes, origin: Origin) -> None:
        """Send ``data`` back to where a datagram came from, from the address on which it came."""
        skt = self._socket
        if skt is None:
            return
        name, source = origin
        try:
            if source is None:
                skt.sendto(data, name)
            else:
                skt.sendmsg((data,), (source,), 0, name)
        except OSError:
            self.dropped += 1


@implementer(IReadDescriptor)
class DatagramSocket(_Descriptor):
    """A UDP socket connected to one server, so that the kernel reports an unreachable one.

    Args:
        reactor: watches the socket.
        address: the server's IP address and port.
        received: called with each datagram that comes back.
        refused: called with an :class:`~balancer.errors.ExchangeError` each time the server turns out unreachable
            (by ICMP, or by our own routes).

    Raises:
        ExchangeError: if there cannot be such a socket.
    """

    def __init__(
        self,
        reactor: Any,
        address: Address,
        received: Callable[[bytes], Any],
        refused: Callable[[ExchangeError], Any],
    ) -> None:
        if address.path:
            raise ExchangeError(errors.PROXY_INTERNAL_ERROR, f"{address}: UDP goes to no unix socket")
        skt = None
        try:
            skt = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET, socket.SOCK_DGRAM)
            skt.setblocking(False)
            skt.connect((address.host, address.port))
        except OSError as failed:
            if skt is not None:
                skt.close()
            raise error_of(failed, address) from failed
        super().__init__(reactor, skt)
        self._address = address
        self._received = received
        self._refused = refused
        reactor.addReader(self)

    def send(self, data: bytes) -> None:
        """Send ``data`` to the server."""
        assert self._socket is not None
        try:
            self._socket.send(data)
        except BlockingIOError:
            self.dropped += 1
        except OSError as failed:
            if failed.errno in (errno.EMSGSIZE, errno.ENOBUFS, errno.EPERM):
                self.dropped += 1
            else:
                self._failed(failed)

    def _failed(self, error: OSError) -> None:
        self._refused(error_of(error, self._address))

    def doRead(self) -> None:
        """Hand on what has come back."""
        for _ in range(READS_PER_WAKEUP):
            skt = self._socket
            if skt is None:
                return
            try:
                data = skt.recv(LARGEST)
            except BlockingIOError:
                return
            except OSError as failed:
                self._failed(failed)
                return
            self._received(data)


def _local_end(ancillary: list[tuple[int, int, bytes]], otherwise: str) -> tuple[Any, str]:
    """Return the ancillary data that makes a reply leave from where the datagram came, and that address as text."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            _interface, local, _destination = struct.unpack("=I4s4s", data[:12])
            return (level, kind, struct.pack("=I4s4s", 0, local, bytes(4))), socket.inet_ntop(socket.AF_INET, local)
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            local, interface = struct.unpack("=16sI", data[:20])
            if not local.startswith(b"\xfe\x80"):  # only a link-local address needs its interface
                interface = 0
            return (level, kind, struct.pack("=16sI", local, interface)), plain(
                socket.inet_ntop(socket.AF_INET6, local)
            )
    return None, otherwise
