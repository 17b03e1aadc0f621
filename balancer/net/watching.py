"""Datagram sockets by the thousand behind one descriptor of the reactor.

An epoll descriptor is itself readable while one of the sockets that it watches is. So the reactor is told of one
descriptor, whichever reactor it is, and a turn is::

    reactor ──readable──> wait(0) ──> receive, serve; receive, serve … ──> send the replies of all ──> once more, or back

A socket of a flow costs no trip through the reactor, and replies to many clients leave together. The work done before
the reactor gets its turn again is bounded by :data:`MOST` datagrams; whoever was not served comes first the next time.

Where there is no epoll, each socket is watched by the reactor, and replies are sent one by one.
"""

from __future__ import annotations

import select
from typing import Any, Protocol

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from balancer.errors import BalancerError
from balancer.net import mmsg, slots

__all__ = ["MOST", "Replies", "Watch", "Watched"]

MOST = 256
"""Datagrams received in one turn, more or less."""

ENOUGH = slots.SLOTS * 3 // 4
"""Slots in use from which on replies are sent before more is received: several datagrams of one socket find room."""

_log = Logger()


class Watched(Protocol):
    """What can be watched."""

    def fileno(self) -> int:
        """The descriptor, -1 once closed."""

    def read(self, first: int) -> int:
        """Receive into the slots from ``first`` on, and hand on.

        Returns the first slot that is free afterwards. More than one datagram is taken off :attr:`Watch.left`.
        """


class Replies(Protocol):
    """Whoever holds replies until the end of a round."""

    def flush(self) -> None:
        """Send them."""


@implementer(IReadDescriptor)
class Watch:
    """Watches sockets until they are closed.

    Args:
        reactor: watches this.

    Raises:
        BalancerError: if the reactor watches no descriptors.
    """

    def __init__(self, reactor: Any) -> None:
        if not IReactorFDSet.providedBy(reactor):
            raise BalancerError(f"the reactor {type(reactor).__name__} watches no descriptors")
        self._reactor = reactor
        self.slots = slots.shared()
        self.singles = [[slot] for slot in self.slots]
        """Each slot as a batch."""
        self.messages = mmsg.shared() if hasattr(select, "epoll") else None
        self.is_busy = False
        """Whether replies may wait, as :meth:`doRead` will have them sent."""
        self.round = 0
        """Counts how often sockets were looked at; two rounds in a row are two numbers in a row."""
        self.left = 0
        """How many more datagrams may be served in this turn."""
        self.waiting: list[Replies] = []
        self._sockets: dict[int, Watched] = {}
        self._descriptors: dict[Watched, _Single] = {}
        self._epoll: select.epoll | None = None

    def add(self, socket: Watched) -> None:
        """Have ``socket.read`` called when something has come."""
        if self.messages is None:
            single = self._descriptors[socket] = _Single(self._reactor, self, socket)
            self._reactor.addReader(single)
            return
        if self._epoll is None:
            self._epoll = select.epoll()
            self._reactor.addReader(self)
        number = socket.fileno()
        self._epoll.register(number, select.EPOLLIN)
        self._sockets[number] = socket

    def remove(self, socket: Watched) -> None:
        """Forget a socket that is about to be closed; with the last one, the reactor forgets this."""
        if self.messages is None:
            single = self._descriptors.pop(socket, None)
            if single is not None:
                self._reactor.removeReader(single)
        elif self._epoll is not None and self._sockets.pop(socket.fileno(), None) is not None:
            if self._sockets:
                self._epoll.unregister(socket.fileno())
            else:
                self._close()

    def fileno(self) -> int:
        """The descriptor that is readable while a socket is."""
        return -1 if self._epoll is None else self._epoll.fileno()

    def doRead(self) -> None:
        """Serve the sockets that have something."""
        sockets = self._sockets
        self.left = MOST
        self.is_busy = True
        try:
            while self.left > 0 and self._epoll is not None:
                events = self._epoll.poll(0, slots.SLOTS)
                if not events:
                    break
                self.round += 1
                self.left -= len(events)
                first = 0
                for number, _ in events:
                    socket = sockets.get(number)
                    if socket is None:
                        continue  # closed by what was served before it
                    try:
                        first = socket.read(first)
                    except Exception:
                        _log.failure("a datagram could not be served")
                    if first >= ENOUGH:
                        self.flush()
                        first = 0
                self.flush()
        finally:
            self.is_busy = False

    def flush(self) -> None:
        """Send the replies that wait."""
        waiting, self.waiting = self.waiting, []
        for replies in waiting:
            replies.flush()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends."""
        if self._epoll is not None:
            self._close()

    def _close(self) -> None:
        assert self._epoll is not None
        self._reactor.removeReader(self)
        self._epoll.close()
        self._epoll = None
        self._sockets.clear()

    def logPrefix(self) -> str:
        """How the reactor names this in its log."""
        return type(self).__name__


@implementer(IReadDescriptor)
class _Single:
    """One socket that the reactor watches."""

    def __init__(self, reactor: Any, watch: Watch, socket: Watched) -> None:
        self._reactor = reactor
        self._watch = watch
        self._socket = socket

    def fileno(self) -> int:
        return self._socket.fileno()

    def doRead(self) -> None:
        for _ in range(MOST // 4):
            try:
                if self._socket.fileno() < 0 or not self._socket.read(0):
                    break
            except Exception:
                _log.failure("a datagram could not be served")

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends; or it takes an error on the socket for the end of a connection, which there is none of."""
        if self._socket.fileno() >= 0 and reason.check(ConnectionDone):
            self._socket.read(0)
            if self._socket.fileno() >= 0:
                self._reactor.addReader(self)

    def logPrefix(self) -> str:
        return type(self._socket).__name__
