"""Connecting: Twisted's connectors, and :class:`Dial`, the way without them.

``connectTCP`` and ``connectUNIX`` resolve, bind and connect with Twisted's own code, so that every error is the one it
has always been; what is connected becomes libuv's. :class:`Dial` lets libuv connect too, for who has an IP address
or a path and needs neither factory nor connector.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp, unix
from twisted.internet.address import UNIXAddress
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from balancer.net.reactor.connection import Connection, MappedConnection
from balancer.net.reactor.unix import UNIXConnection, takes_descriptors

__all__ = ["Dial", "TCPConnector", "UNIXConnector"]


class _Handover:
    """What becomes of one of Twisted's clients once it is connected."""

    if TYPE_CHECKING:  # what Twisted leaves without types
        addr: Any
        connector: Any
        reactor: Any
        socket: Any
        fileno: Any
        connected: Any
        disconnected: Any
        disconnecting: Any
        protocol: Any
        logstr: str

        def getPeer(self) -> Any: ...
        def startReading(self) -> None: ...
        def loseConnection(self) -> None: ...
        def _getLogPrefix(self, protocol: Any) -> str: ...

    _connection: type[Connection] = Connection

    def _connectDone(self) -> None:
        connector, peer = self.connector, self.getPeer()
        protocol = connector.buildProtocol(peer)
        if protocol is not None and self._stays(protocol):
            self.protocol = protocol
            self.connected = 1
            self.logstr = f"{self._getLogPrefix(protocol)},client"
            self.startReading()
            protocol.makeConnection(self)
            return
        skt, address = self.socket, self.addr
        del self.connector, self.socket, self.fileno
        made = self._connection(
            self.reactor, Protocol() if protocol is None else protocol, True, peer, connector.connectionLost
        )
        made.addr = address
        connector.transport = made
        made.adopt(skt.detach())
        if protocol is None:
            made.loseConnection()

    def _stays(self, protocol: Any) -> bool:
        """Whether the connection remains with Twisted's own transport."""
        return False


class _TCPClient(_Handover, tcp.Client):
    pass


class _UNIXClient(_Handover, unix.Client):
    _connection = UNIXConnection

    def _stays(self, protocol: Any) -> bool:
        return takes_descriptors(protocol)


class TCPConnector(tcp.Connector):
    """What ``connectTCP`` returns."""

    if TYPE_CHECKING:
        reactor: Any

    def _makeTransport(self) -> Any:
        return _TCPClient(self.host, self.port, self.bindAddress, self, self.reactor)


class UNIXConnector(unix.Connector):
    """What ``connectUNIX`` returns."""

    if TYPE_CHECKING:
        reactor: Any

    def _makeTransport(self) -> Any:
        return _UNIXClient(self.address, self, self.reactor, self.checkPID)


def _nothing() -> None:
    """What is called when nobody is to be."""


class Dial:
    """One attempt of libuv's to connect.

    Args:
        reactor: the :class:`~.uv.UVReactor`.
        protocol: told of the connection.
        target: ``(IP address, port)``, or the path of a unix socket.
        made: called when the protocol's ``makeConnection`` is through.
        failed: called with an :class:`OSError`, or :class:`~twisted.internet.error.ConnectionLost` as the reactor stops.
    """

    __slots__ = ("_connection", "_failed", "_made", "_opening", "_reactor", "_target", "_waiter")

    def __init__(
        self,
        reactor: Any,
        protocol: Any,
        target: tuple[str, int] | str,
        made: Callable[[], Any],
        failed: Callable[[BaseException], Any],
    ) -> None:
        self._reactor = reactor
        self._target = target
        self._made = made
        self._failed: Callable[[BaseException], Any] | None = failed
        if isinstance(target, str):
            self._connection: Connection | None = UNIXConnection(reactor, protocol, True, UNIXAddress(target))
        else:
            self._connection = MappedConnection(reactor, protocol, True)
        self._connection._made = self._connected
        self._opening: Any = None
        self._waiter: Any = None
        reactor.dials.add(self)
        if reactor.running:
            self._start()
        else:  # the loop may be another one by then: see UVReactor.afterDaemonize
            reactor.callLater(0, self._start)

    def _start(self) -> None:
        if self._failed is None or self._connection is None:
            return
        connection, target, loop = self._connection, self._target, self._reactor.loop
        if isinstance(target, str):
            self._opening = loop.create_unix_connection(lambda: connection, target)
        else:
            self._opening = loop.create_connection(lambda: connection, *target)
        self._step()

    def _step(self, woken: Any = None) -> None:
        """Take uvloop's coroutine on to where it waits, or to its end; what is connected keeps it."""
        if woken is not None and (self._connection is None or self._connection._uv is not None):
            return
        try:
            waiter = self._waiter = self._opening.send(None)
        except StopIteration:
            pass
        except CancelledError:
            pass
        except Exception as error:
            self._fail(error)
        else:
            waiter.add_done_callback(self._step)

    def _connected(self) -> None:
        connection, made = self._connection, self._made
        assert connection is not None
        connection._opening = self._opening
        is_wanted = self._failed is not None
        self._forget()
        if is_wanted:
            made()

    def _fail(self, error: BaseException) -> None:
        failed = self._failed
        self.cancel()
        if failed is not None:
            failed(error)

    def cancel(self) -> None:
        """Give it up; nobody is called."""
        connection = self._connection
        if connection is None:
            return
        self._failed = None
        self._reactor.dials.discard(self)
        connection.disconnected = True
        self._reactor.connections.discard(connection)
        if self._waiter is not None:
            self._waiter.cancel()  # uvloop's coroutine ends the attempt, in _step

    def _forget(self) -> None:
        """Let go of everything, so that there is no circle for the collector to find."""
        self._reactor.dials.discard(self)
        self._connection = self._opening = self._waiter = self._failed = None
        self._made = _nothing

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops."""
        self._fail(ConnectionLost())

    def logPrefix(self) -> str:
        """How the log names it."""
        return "dial"
