"""What can be asked of a connection, and set: addresses, socket options, names for the log."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import interfaces
from twisted.internet.address import IPv4Address, IPv6Address

from balancer.net.reactor.writing import Plain

__all__ = ["Described"]


class Described(Plain):
    """The questions; a connection has the answers."""

    addr: Any = None  # what a client was told to connect to
    sessionno: int
    _tlsClientDefault: bool
    _descriptor: int  # -1 where libuv has opened it itself
    _handle: Any  # a socket that has it, once somebody has asked for one
    _host: Any
    _peer: Any
    _place: Any

    def _skt(self) -> socket.socket:
        handle = self._handle
        if handle is None:
            uv = self._uv
            if uv is None:
                handle = socket.socket(fileno=self._descriptor)
            else:
                raw = uv.get_extra_info("socket")
                handle = socket.socket(raw.family, socket.SOCK_STREAM, 0, raw.fileno())
            self._handle = handle
        return handle  # type: ignore[no-any-return]

    def getHandle(self) -> Any:
        """The socket: for options and ``MSG_PEEK``; reading and writing are libuv's."""
        return self._skt() if self._uv is not None or self._descriptor >= 0 or self._handle is not None else None

    def fileno(self) -> int:
        """The descriptor, -1 when it is closed."""
        if self.disconnected:
            return -1
        return self._descriptor if self._descriptor >= 0 or self._uv is None else self._skt().fileno()

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
            return f"<{type(self)} to {self.addr or self._peer} at {id(self):x}>"
        return f"<{type(self.protocol).__name__} #{self.sessionno} on {self._place}>"


def _log_prefix(protocol: Any) -> str:
    if interfaces.ILoggingContext.providedBy(protocol):
        return str(protocol.logPrefix())
    return type(protocol).__name__
