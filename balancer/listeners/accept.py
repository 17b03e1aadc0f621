"""Who is let in: limits on connections, over all, per listener and per client address.

A :class:`Gate` counts. Each listener has one, with the gate of the whole process above it::

    everything = Gate(connections=8000, per_client=1024)
    web = Gate(connections=2000, above=everything)

    if web.admit(host):        # counted in both, or in neither
        ...
        web.leave(host)        # once, when the connection or flow has ended

Of a connection through a proxy it is not known at first whose it is: it is admitted as ``""``, and identified later.
"""

from __future__ import annotations

__all__ = ["Gate"]


class Gate:
    """Admits connections up to its limits, and counts those it refused.

    Args:
        connections: how many at a time, None for no limit.
        per_client: how many at a time from one address, None for no limit. Unix sockets have no address and no limit.
        above: the gate that must admit as well.

    The limits may be changed at any time; who is in stays in.
    """

    __slots__ = ("_clients", "above", "active", "connections", "per_client", "refused", "refused_client")

    def __init__(
        self, connections: int | None = None, per_client: int | None = None, above: Gate | None = None
    ) -> None:
        self.connections = connections
        self.per_client = per_client
        self.above = above
        self.active = 0
        self.refused = 0  # because of a limit on connections, this gate's or that above
        self.refused_client = 0  # because of a limit for one client, likewise
        self._clients: dict[str, int] = {}

    def admit(self, host: str) -> bool:
        """Count one more connection from ``host`` and return True, or return False if a limit is reached."""
        if self.connections is not None and self.active >= self.connections:
            self.refused += 1
            return False
        clients = self._clients
        present = clients.get(host, 0)
        if self.per_client is not None and present >= self.per_client and host:
            self.refused_client += 1
            return False
        above = self.above
        if above is not None:
            refused = above.refused
            if not above.admit(host):
                if above.refused != refused:
                    self.refused += 1
                else:
                    self.refused_client += 1
                return False
        self.active += 1
        clients[host] = present + 1
        return True

    def identify(self, host: str) -> bool:
        """Count a connection that was admitted without an address (``""``) as one from ``host`` from now on.

        Returns False if the limit for that client is reached; the connection counts as before then.
        """
        if not host:
            return True
        clients = self._clients
        present = clients.get(host, 0)
        if self.per_client is not None and present >= self.per_client:
            self.refused_client += 1
            return False
        if self.above is not None and not self.above.identify(host):
            self.refused_client += 1
            return False
        clients[host] = present + 1
        self._client_left("")
        return True

    def leave(self, host: str) -> None:
        """Count one connection from ``host`` less."""
        self.active -= 1
        self._client_left(host)
        if self.above is not None:
            self.above.leave(host)

    def _client_left(self, host: str) -> None:
        left = self._clients[host] - 1
        if left:
            self._clients[host] = left
        else:
            del self._clients[host]

    def present(self, host: str) -> int:
        """How many connections from ``host`` are in."""
        return self._clients.get(host, 0)

    def __repr__(self) -> str:
        limit = "no limit" if self.connections is None else self.connections
        return f"<Gate {self.active} of {limit}, {self.refused + self.refused_client} refused>"
