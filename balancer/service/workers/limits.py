"""Limits that hold for all workers together: on connections, on a client's connections, on what a server is given."""

from __future__ import annotations

from balancer.listeners.accept import Gate
from balancer.service.workers.shared_counts import Row

__all__ = ["ServerShare", "SharedGate"]


class SharedGate(Gate):
    """A gate whose limits hold for the sum of all workers.

    Args:
        row: what this worker counts.
        column: where this gate counts in it.
        alone: how many connections this process may have, whatever the others have; None for no such limit.

    The rest as of :class:`~balancer.listeners.accept.Gate`; ``active`` and what is refused are this worker's.
    """

    __slots__ = ("_column", "_places", "_row", "alone")

    def __init__(
        self,
        row: Row,
        column: int,
        connections: int | None = None,
        per_client: int | None = None,
        above: Gate | None = None,
        alone: int | None = None,
    ) -> None:
        super().__init__(connections, per_client, above)
        self.alone = alone
        self._row = row
        self._column = column
        self._places: dict[str, tuple[int, int]] = {}  # key and place in the table of clients

    def admit(self, host: str) -> bool:
        """Count one more connection from ``host`` and return True, or return False if a limit is reached."""
        if self.alone is not None and self.active >= self.alone:
            self.refused += 1
            return False
        row, column = self._row, self._column
        self.active += 1
        row.put(column, self.active)
        if self.connections is not None and row.counts.total(column) > self.connections:
            self.refused += 1
            self._take_back()
            return False
        present = self._clients.get(host, 0) + 1
        self._clients[host] = present
        if host and not self._client_admitted(host, present):
            self.refused_client += 1
            self._client_left(host)
            self._take_back()
            return False
        above = self.above
        refused = 0 if above is None else above.refused
        if above is not None and not above.admit(host):
            if above.refused != refused:
                self.refused += 1
            else:
                self.refused_client += 1
            self._client_left(host)
            self._take_back()
            return False
        return True

    def identify(self, host: str) -> bool:
        """Count a connection that was admitted without an address as one from ``host``; False if that is over a limit."""
        if not host:
            return True
        present = self._clients.get(host, 0) + 1
        self._clients[host] = present
        if not self._client_admitted(host, present) or (self.above is not None and not self.above.identify(host)):
            self.refused_client += 1
            self._client_left(host)
            return False
        self._client_left("")
        return True

    def _client_admitted(self, host: str, present: int) -> bool:
        row = self._row
        if present == 1:
            key = row.counts.key(self._column, host)
            place = row.place(key)
            self._places[host] = (key, place)
        else:
            key, place = self._places[host]
        row.put_client(place, present)
        return self.per_client is None or row.client(key, place, present) <= self.per_client

    def _take_back(self) -> None:
        self.active -= 1
        self._row.put(self._column, self.active)

    def _client_left(self, host: str) -> None:
        left = self._clients[host] - 1
        if left:
            self._clients[host] = left
            if host:
                self._row.put_client(self._places[host][1], left)
        else:
            del self._clients[host]
            if host:
                self._row.put_client(self._places.pop(host)[1], 0)

    def leave(self, host: str) -> None:
        """Count one connection from ``host`` less."""
        self._take_back()
        self._client_left(host)
        if self.above is not None:
            self.above.leave(host)


class ServerShare:
    """This worker's part of a server's ``max_connections``.

    Choosing a server and counting what goes there are two steps, between which another worker may take the last
    place: with N workers a server may have N - 1 more than its limit for the length of an exchange.
    """

    __slots__ = ("_column", "_row", "most")

    def __init__(self, row: Row, column: int, most: int) -> None:
        self.most = most
        self._row = row
        self._column = column

    def put(self, active: int) -> None:
        """Tell the other workers that ``active`` of ours are in flight."""
        self._row.put(self._column, active)

    def has_room(self) -> bool:
        """Whether all workers together have less than the limit."""
        return self._row.counts.total(self._column) < self.most
