"""The clients of a UDP listener, and the sockets that rest between the flows of one client.

Where a flow is one question and its answers (``responses``), most of its cost is the socket to the server: made, connected,
watched, closed again, for two datagrams. So a flow that has had all its answers leaves its socket to its client, whose next
flow takes it, if it goes to the same server::

    begin ──> flow ── all answered ──> rests, for a second or two ──> the client's next flow
                │                        │
                └── anything else        └── a word from the server, a new server, too long, too many ──> closed

No other client ever gets it, so an answer that comes late can reach nobody it is not meant for. What comes while it rests is
dropped, as it is when the socket of a flow that is over is closed.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from typing import Any

from balancer.errors import ExchangeError
from balancer.model.address import Address, Peer
from balancer.model.facts import SessionFacts
from balancer.net.datagram_socket import DatagramSocket
from balancer.net.datagrams import Origin, ReturnPath
from balancer.net.timers import Entry, Wheel
from balancer.net.trains import Batch

__all__ = ["REST", "Client", "Resting", "most_resting"]

REST = 1.0
"""Seconds that a socket rests at least, unless there are too many; at most it is twice as long."""

_MOST = 256

Open = Callable[[Address, Callable[[Batch], Any], Callable[[ExchangeError], Any]], DatagramSocket]


def most_resting() -> int:
    """Return how many sockets of one listening socket may rest: few in view of the descriptors there are."""
    return min(_MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 16)


class Client:
    """Who wrote to one of our addresses, the way back, and the socket that the last flow left.

    Args:
        path: the way back.
        port: our port.
        connect: makes a socket to a server.
    """

    __slots__ = ("_connect", "facts", "is_fresh", "path", "socket")

    def __init__(self, path: ReturnPath, port: int, connect: Open) -> None:
        self.path = path
        self.facts = SessionFacts(Peer(*path.client), Peer(path.local, port))
        self.socket: DatagramSocket | None = None
        """Rests, while there is no flow."""
        self.is_fresh = True
        self._connect = connect

    def connect(
        self, address: Address, received: Callable[[Batch], Any], refused: Callable[[ExchangeError], Any]
    ) -> DatagramSocket:
        """Return a socket to ``address``: the one that rests, if it goes there; raises as :class:`DatagramSocket`."""
        socket, self.socket = self.socket, None
        if socket is not None:
            if socket.resume(address, received, refused):
                return socket
            socket.close()
        return self._connect(address, received, refused)

    def keep(self, socket: DatagramSocket) -> None:
        """Let ``socket`` rest for the next flow."""
        socket.rest()
        self.socket = socket

    def close(self) -> None:
        """Close the socket that rests."""
        socket, self.socket = self.socket, None
        if socket is not None:
            socket.close()


class Resting:
    """The clients without a flow whose sockets rest.

    Args:
        wheel: the shared timer.
        most: how many there may be; the one that has rested longest makes room.
    """

    __slots__ = ("_clients", "_most", "_sweep", "_wheel")

    def __init__(self, wheel: Wheel, most: int | None = None) -> None:
        self._wheel = wheel
        self._most = most_resting() if most is None else most
        self._clients: dict[Origin, Client] = {}
        self._sweep: Entry | None = None

    def take(self, origin: Origin) -> Client | None:
        """Return the client that has come back, if its socket rests."""
        return self._clients.pop(origin, None)

    def put(self, origin: Origin, client: Client) -> None:
        """Keep ``client`` until its socket has rested too long."""
        clients = self._clients
        client.is_fresh = True
        clients[origin] = client
        if len(clients) > self._most:
            clients.pop(next(iter(clients))).close()
        if self._sweep is None:
            self._sweep = self._wheel.schedule(REST, self._swept)

    def close(self) -> None:
        """Close all that rest."""
        if self._sweep is not None:
            self._sweep.end()
            self._sweep = None
        while self._clients:
            self._clients.popitem()[1].close()

    def _swept(self) -> None:
        """Close those that have rested since the last time."""
        clients = self._clients
        for origin in [origin for origin, client in clients.items() if not client.is_fresh]:
            clients.pop(origin).close()
        for client in clients.values():
            client.is_fresh = False
        self._sweep = self._wheel.schedule(REST, self._swept) if clients else None

    def __len__(self) -> int:
        return len(self._clients)

    def __repr__(self) -> str:
        return f"<Resting {len(self)} of {self._most}>"
