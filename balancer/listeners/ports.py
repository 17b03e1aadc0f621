"""The listening sockets of one listener: opened together, and changed one by one while the listener lives on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.main import CONNECTION_DONE
from twisted.python.failure import Failure

from balancer.net.listening import BACKLOG, describe, let_go, listen
from balancer.net.steering import shut_out
from balancer.net.transports import Accepting, ServerPort

__all__ = ["Ports"]


class Ports:
    """Open ports by the text of their ``bind``.

    Args:
        reactor: provides ports.
        factory: builds the protocol of each connection, or None to refuse it.
        backlog: connections that may wait to be accepted.
        opened: opens a port, called as ``opened(bind, factory, backlog)``; by default binds the address.
    """

    def __init__(
        self,
        reactor: Any,
        factory: IProtocolFactory,
        backlog: int = BACKLOG,
        opened: Callable[[str, IProtocolFactory, int], IListeningPort] | None = None,
    ) -> None:
        self._opened = opened or partial(listen, reactor)
        self._factory = factory
        self._backlog = backlog
        self._open: dict[str, IListeningPort] = {}

    def open(self, binds: Iterable[str]) -> None:
        """Bind those of ``binds`` that are not open yet; all of them or none.

        Raises:
            BalancerError: naming the address that cannot be had.
        """
        opened: list[str] = []
        try:
            for bind in binds:
                if bind not in self._open:
                    self._open[bind] = self._opened(bind, self._factory, self._backlog)
                    opened.append(bind)
        except BaseException:
            self._close(opened)
            raise

    def keep(self, binds: Iterable[str]) -> Deferred[None]:
        """Close every port but those of ``binds``; connections go on. Fires when the sockets are closed."""
        wanted = set(binds)
        return self._close([bind for bind in self._open if bind not in wanted])

    def _close(self, binds: Iterable[str]) -> Deferred[None]:
        closing = []
        for port in [self._open.pop(bind) for bind in binds]:
            if isinstance(port, ServerPort) and port.connected and not port.disconnecting:
                _close_empty(port)
                continue
            if isinstance(port, Accepting):
                port.accept_all()
            closing.append(port.stopListening())
        waiting = [closed for closed in closing if isinstance(closed, Deferred)]
        return gatherResults(waiting).addCallback(lambda _: None) if waiting else succeed(None)

    @property
    def pauses(self) -> int:
        """How often those that are open stopped accepting for a moment, for want of descriptors."""
        return sum(getattr(port, "pauses", 0) for port in self._open.values())

    @property
    def descriptors(self) -> dict[str, int]:
        """The sockets' descriptors by the text of their ``bind``."""
        return {bind: cast(Any, port).fileno() for bind, port in self._open.items()}

    def let_go(self) -> None:
        """Accept no more here: another process has the sockets."""
        while self._open:
            port = self._open.popitem()[1]
            if isinstance(port, Accepting):
                port.accept_all()
            let_go(port)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens, in the form of ``bind``, with real ports."""
        return tuple(map(describe, self._open.values()))

    def __len__(self) -> int:
        return len(self._open)


def _close_empty(port: ServerPort) -> None:
    """Have all accepted that wait, and close the socket at once: what came between would be reset.

    If it is ours, and on Linux, nobody begins to connect meanwhile.
    """
    if port.is_ours:
        shut_out(port.socket)
    port.accept_all()
    port.connectionLost(Failure(CONNECTION_DONE))
