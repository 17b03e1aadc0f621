"""Where listeners get their sockets: opened here, or handed over by the process that opened them.

::

    opening = Opening(reactor)
    opening.hand("web", "0.0.0.0:80", descriptor)      # taken once, by the listener of that name
    port = opening.stream("web", "0.0.0.0:80", factory)

What was not handed over is opened.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IListeningPort, IProtocolFactory

from balancer.net.datagrams import DatagramPort, Origin
from balancer.net.listening import BACKLOG, adopt, listen
from balancer.net.trains import Batch
from balancer.net.watching import Watch

__all__ = ["Opening"]


class Opening:
    """Opens ports for listeners.

    Args:
        reactor: provides them.
        inherited: called as ``inherited(listener, bind, kind)`` for what was not handed over; returns descriptors that
            a process before this one has left, or none.
    """

    def __init__(self, reactor: Any, inherited: Callable[[str, str, int], list[int]] | None = None) -> None:
        self._reactor = reactor
        self._inherited = inherited
        self._handed: dict[tuple[str, str], int] = {}

    def hand(self, listener: str, bind: str, descriptor: int) -> None:
        """Keep ``descriptor``, which is ours from now on, for ``bind`` of ``listener``."""
        self._drop(self._handed.pop((listener, bind), None))
        self._handed[listener, bind] = descriptor

    def drop(self) -> None:
        """Close the descriptors that nobody has taken."""
        while self._handed:
            self._drop(self._handed.popitem()[1])

    @staticmethod
    def _drop(descriptor: int | None) -> None:
        if descriptor is not None:
            os.close(descriptor)

    def stream(
        self,
        listener: str,
        bind: str,
        factory: IProtocolFactory,
        backlog: int = BACKLOG,
        *,
        spliced: bool = False,
    ) -> IListeningPort:
        """Return a port whose connections ``factory`` serves; arguments and errors as of :func:`~.listening.listen`."""
        descriptor = self._handed.pop((listener, bind), None)
        owned = descriptor is None
        if descriptor is None:
            descriptor = self._left_to_us(listener, bind, socket.SOCK_STREAM)
        if descriptor is None:
            return listen(self._reactor, bind, factory, backlog, spliced=spliced)
        try:
            return adopt(self._reactor, descriptor, factory, owned=owned and bind.startswith("unix:"), spliced=spliced)
        finally:
            os.close(descriptor)

    def _left_to_us(self, listener: str, bind: str, kind: int) -> int | None:
        descriptors = self._inherited(listener, bind, kind) if self._inherited is not None else []
        for descriptor in descriptors[1:]:  # of several workers, whose work is one process's now
            os.close(descriptor)
        return descriptors[0] if descriptors else None

    def datagrams(
        self, listener: str, bind: str, watch: Watch, received: Callable[[Batch, Origin], Any]
    ) -> DatagramPort:
        """Return a UDP port; arguments and errors as of :class:`~balancer.net.datagrams.DatagramPort`."""
        descriptor = self._handed.pop((listener, bind), None)
        if descriptor is None:
            descriptor = self._left_to_us(listener, bind, socket.SOCK_DGRAM)
        if descriptor is None:
            return DatagramPort(watch, bind, received)
        skt = socket.socket(fileno=descriptor)
        skt.setblocking(False)
        return DatagramPort(watch, bind, received, skt)
