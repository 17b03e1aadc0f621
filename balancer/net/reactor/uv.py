"""The reactor: uvloop waits, Twisted's epoll reactor keeps everything that is not a stream.

::

    uvloop ──┬── streams: TCP and unix sockets, read and written by libuv                     connection, ports, clients
             ├── one descriptor: the epoll of Twisted's own reactor, with what addReader and addWriter watch (UDP,
             │   processes, listening ports, the waker of callFromThread)                     doPoll
             └── one timer: the earliest of Twisted's delayed calls                           runUntilCurrent

An epoll can be watched like any descriptor. So descriptors behave as they do on Twisted's epoll reactor to the last detail
(libuv's own watching ends at the first error on a socket, which for UDP is none to end at), and all that must be done
after a fork is to watch this one descriptor in a new loop.
"""

from __future__ import annotations

import math
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

import uvloop
from twisted.internet import error, interfaces, main, process, unix
from twisted.internet._signals import SignalHandling, _WithSignalHandling
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import implementer

from balancer.net.polling import BatchingEPollReactor
from balancer.net.reactor.batch import Batch
from balancer.net.reactor.clients import Dial, TCPConnector, UNIXConnector
from balancer.net.reactor.connection import Connection
from balancer.net.reactor.ports import ListenerPort, TCPPort, UNIXPort, scoped
from balancer.net.reactor.unix import UNIXConnection, takes_descriptors

__all__ = ["UVReactor", "install"]

_NEVER = math.inf


class _ChildSignals:
    """Reaps children at SIGCHLD. Twisted's way, the wakeup descriptor of signals, is taken: uvloop uses it."""

    def __init__(self, reactor: UVReactor, base: SignalHandling) -> None:
        self._reactor = reactor
        self._base = base
        self._is_installed = False

    def install(self) -> None:
        """Begin."""
        self._base.install()
        signal.signal(signal.SIGCHLD, lambda *_: self._reactor.callFromThread(process.reapAllProcesses))
        signal.siginterrupt(signal.SIGCHLD, False)
        self._is_installed = True
        process.reapAllProcesses()

    def uninstall(self) -> None:
        """End."""
        if self._is_installed:
            self._is_installed = False
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._base.uninstall()


@implementer(interfaces.IReactorDaemonize)
class UVReactor(BatchingEPollReactor):
    """See the module."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self.connections: set[Connection] = set()
        self.dials: set[Dial] = set()
        self._reserved: list[int] = []
        self.batch = Batch(self.loop)
        self._timer: Any = None
        self._due = _NEVER
        super().__init__()
        self._watch()

    def _watch(self) -> None:
        self.loop.add_reader(self._poller.fileno(), self._descriptors_ready)
        self.loop.set_exception_handler(_log_exception)

    def look_after_batches(self, look: Callable[[], Any]) -> None:
        """Call ``look()`` after each batch, whichever way it was read."""
        super().look_after_batches(look)
        self.batch.look = look

    # The main loop.

    def mainLoop(self) -> None:
        """Serve until ``crash``, which ``stop`` ends in."""
        while self._started:
            try:
                self._run_due()
                if self._started:
                    self._run_loop()
            except BaseException:
                log.msg("Unexpected error in main loop.")
                log.err()
        self._turn()  # let libuv close what was ended last
        log.msg("Main loop terminated.")

    def doIteration(self, delay: float | None) -> None:
        """Wait for events, at most ``delay`` seconds, and serve them."""
        if self.loop.is_running():
            self.doPoll(0)
            return
        if delay:
            self.loop.call_later(delay, self.loop.stop)
            self._run_loop()
        else:
            self._turn()

    def _turn(self) -> None:
        """Serve what is there."""
        self.loop.call_soon(self.loop.stop)
        self._run_loop()

    def _run_loop(self) -> None:
        """Run uvloop, which opens a pair of sockets first; if it could not, it would never run again.

        So two descriptors are kept for it while it does not run.
        """
        for descriptor in self._reserved:
            os.close(descriptor)
        self._reserved.clear()
        try:
            self.loop.run_forever()
        finally:
            self._reserved += [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) for _ in range(2)]

    def _descriptors_ready(self) -> None:
        self.doPoll(0)
        if self.threadCallQueue or self._justStopped:
            self._run_due()

    def crash(self) -> None:
        """Leave the main loop."""
        super().crash()
        self.loop.stop()

    def stop(self) -> None:
        """Begin to shut down."""
        super().stop()
        self._wake_at(0)

    # Time.

    def _run_due(self) -> None:
        """Make the calls that are due, and wait for the next."""
        self._due = _NEVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.runUntilCurrent()
        delay = self.timeout()
        if delay is not None:
            self._wake_at(self.seconds() + delay)

    def _wake_at(self, due: float) -> None:
        if due >= self._due:
            return
        self._due = due
        if self._timer is not None:
            self._timer.cancel()
        delay = due - self.seconds()
        # libuv counts milliseconds; rounded up, so as not to wake too early and again.
        self._timer = (
            self.loop.call_soon(self._run_due)
            if delay <= 0
            else self.loop.call_later(math.ceil(delay * 1000) / 1000, self._run_due)
        )

    def callLater(self, delay: float, callable: Callable[..., Any], *args: object, **kw: object) -> Any:  # noqa: A002 - Twisted's name
        """Call ``callable`` in ``delay`` seconds."""
        call = super().callLater(delay, callable, *args, **kw)
        if call.time < self._due:
            self._wake_at(call.time)
        return call

    def _moveCallLaterSooner(self, call: Any) -> None:
        super()._moveCallLaterSooner(call)
        self._wake_at(call.getTime())

    # Processes.

    def _signalsFactory(self) -> SignalHandling:
        return _ChildSignals(self, _WithSignalHandling(self.sigInt, self.sigBreak, self.sigTerm))

    def beforeDaemonize(self) -> None:
        """Give libuv's loop up: it cannot be used in a child process.

        What is watched is in the epoll of Twisted's reactor, delayed calls are in Twisted's own list; and there are no
        connections before a reactor runs.
        """
        self._due, self._timer = _NEVER, None
        self.loop.close()

    def afterDaemonize(self) -> None:
        """Go on with a loop of this process's own."""
        self.loop = uvloop.new_event_loop()
        look, self.batch = self.batch.look, Batch(self.loop)
        self.batch.look = look
        self._watch()
        self._wake_at(0)

    # Streams.

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Listen on a TCP port."""
        opened = TCPPort(port, factory, backlog, interface, self)
        opened.startListening()
        return opened

    def listen_for(self, port: int, factory: Any, backlog: int, interface: str, dual_stack: bool) -> Any:
        """Listen as the balancer's listeners do: see :class:`~balancer.net.transports.ServerPort`."""
        opened = ListenerPort(port, factory, backlog, interface, self, dual_stack)
        opened.startListening()
        return opened

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None) -> Any:
        """Connect to a TCP port."""
        connector = TCPConnector(host, port, factory, timeout, bindAddress, self)
        connector.connect()
        return connector

    def dial(
        self, protocol: Any, target: tuple[str, int] | str, made: Callable[[], Any], failed: Callable[[Any], Any]
    ) -> Dial:
        """Connect ``protocol`` to an IP address and port, or a path, without factory and connector."""
        return Dial(self, protocol, target, made, failed)

    def listenUNIX(
        self, address: Any, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: bool = False
    ) -> Any:
        """Listen on a unix socket."""
        opened = UNIXPort(address, factory, backlog, mode, self, wantPID)
        opened.startListening()
        return opened

    def connectUNIX(self, address: Any, factory: Any, timeout: float = 30, checkPID: bool = False) -> Any:
        """Connect to a unix socket."""
        connector = UNIXConnector(address, factory, timeout, self, checkPID)
        connector.connect()
        return connector

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
        """Accept at a listening socket that somebody else has opened."""
        self._check_family(addressFamily)
        opened: Any
        if addressFamily == socket.AF_UNIX:
            opened = UNIXPort._fromListeningDescriptor(self, fileDescriptor, factory)
        else:
            opened = TCPPort._fromListeningDescriptor(self, fileDescriptor, addressFamily, factory)
        opened.startListening()
        return opened

    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
        """Serve a connection that somebody else has accepted."""
        self._check_family(addressFamily)
        skt = socket.fromfd(fileDescriptor, addressFamily, socket.SOCK_STREAM)
        made: Connection
        try:
            if addressFamily == socket.AF_UNIX:
                address = UNIXAddress(skt.getpeername() or None)
                protocol = factory.buildProtocol(address)
                if takes_descriptors(protocol):
                    staying = unix.Server(skt, protocol, skt.getpeername(), None, 0, self)
                    protocol.makeConnection(staying)
                    return staying
                made = UNIXConnection(self, protocol, False, address, None, 0, skt.getsockname())
            else:
                kind = IPv4Address if addressFamily == socket.AF_INET else IPv6Address
                peer = kind("TCP", *scoped(skt.getpeername()))
                protocol = factory.buildProtocol(peer)
                made = Connection(self, protocol, False, peer, None, 0, skt.getsockname()[1])
        except BaseException:
            skt.close()
            raise
        if protocol is None:
            self.connections.discard(made)
            skt.close()
            return None
        if self.running:
            made.adopt(skt.detach())
        else:  # the loop may be another one by then: see afterDaemonize
            self.callLater(0, made.adopt, skt.detach())
        return made

    def _check_family(self, family: int) -> None:
        if family not in self._supportedAddressFamilies:
            raise error.UnsupportedAddressFamily(family)

    def getReaders(self) -> list[Any]:
        """What is read from."""
        return [*super().getReaders(), *(each for each in self.connections if each.is_reading)]

    def getWriters(self) -> list[Any]:
        """What is waited for to write to: attempts to connect among it."""
        return [*super().getWriters(), *self.dials]

    def removeAll(self) -> Any:
        """Forget all that is watched or connected; returns it."""
        connections, self.connections = self.connections, set()
        for connection in connections:
            connection.forget()
        return [*super().removeAll(), *connections, *self.dials]


def _log_exception(_loop: Any, context: dict[str, Any]) -> None:
    """Log what nobody caught, in Twisted's log."""
    raised = context.get("exception")
    if raised is None:
        log.err(context["message"])
    else:
        log.err(Failure(raised), context.get("message", "Unhandled error"))


def install() -> None:
    """Make this the reactor of the process."""
    main.installReactor(UVReactor())
