"""One server of a pool: where it is, how it is doing, what it has been given.

::

    open             takes new clients now; the pool sets it from all that follows
    ├─ disabled      an operator wants nothing new on it, whoever sends it
    ├─ up            probes say it is well, and its address is known
    ├─ tripped       its breaker is open
    ├─ ejected       real traffic said it is not, until ``ejected_until``
    ├─ draining      an operator wants no new clients on it
    ├─ weight        0: no new clients either
    └─ backup        only while no other server can be used

A server outlives its snapshot: at a reload the new pool takes over the old one's object, where name and address are
the same, so that exchanges in flight, idle connections and what is known of its health carry over.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from zope.interface import classImplements

from balancer.hooks.interfaces import IServer
from balancer.model.address import Address
from balancer.pools.events import ServerDisabled, ServerDrained, ServerEnabled, ServerUndrained
from balancer.pools.idle import IdleConnections, KeepAlive
from balancer.pools.shared import HTTP2Settings, SharedConnections

if TYPE_CHECKING:
    from balancer.pools.pool import Pool

__all__ = ["STATES", "Server", "Share"]

STATES = ("disabled", "down", "ejected", "tripped", "draining", "up")
"""What :attr:`Server.state` is one of, from the worst on: of several processes' the first one counts."""

_NO_LIMIT = sys.maxsize


class Share(Protocol):
    """Our part of a server's ``max_connections``, where several processes have to keep to it together."""

    most: int
    """Exchanges and sessions of all processes."""

    def put(self, active: int) -> None:
        """Tell the others that ``active`` of ours are in flight."""

    def has_room(self) -> bool:
        """Whether all together have less than ``most``."""


class Server:
    """One server.

    Args:
        address: where it is; a DNS name is resolved by the pool once that is started.
        name: what it is called in logs and by hashing algorithms; by default its address.
        weight: its share of the traffic, 0 or more.
        backup: whether it is used only while no other server can be.
        max_connections: most exchanges and sessions on it at a time, None for no limit.
        keep_alive: how idle connections to it are kept.
        protocol: what it speaks: ``"http1"``, ``"h2"``, or ``"auto"``, which TLS is to find out for each connection.
        http2: how connections of HTTP/2 are used.

    ``idle`` are connections that wait for an exchange, ``shared`` those that carry many at a time, None where it speaks HTTP/1.1.
    ``connections`` counts those of HTTP that are open, by protocol.

    Counters: ``active`` exchanges and sessions in flight, ``requests`` begun, ``failures`` among them, of which
    ``connect_failures`` never had a connection. ``latency`` is a peak-sensitive moving average of seconds to first
    byte.
    """

    __slots__ = (
        "_resting",
        "_turn",
        "active",
        "adaptive",
        "address",
        "backup",
        "connect_failures",
        "connections",
        "disabled",
        "draining",
        "ejected_until",
        "ejections",
        "encryption",
        "endpoints",
        "failures",
        "failures_in_row",
        "failures_since",
        "full_weight",
        "healthy",
        "heard",
        "idle",
        "labels",
        "latency",
        "limit",
        "most",
        "name",
        "open",
        "open_to_known",
        "owner",
        "priority",
        "probed",
        "protocol",
        "reason",
        "requests",
        "returned",
        "share",
        "shared",
        "tripped",
        "weight",
        "written",
        "zone",
    )

    def __init__(
        self,
        address: Address,
        name: str = "",
        *,
        weight: int = 1,
        backup: bool = False,
        max_connections: int | None = None,
        keep_alive: KeepAlive | None = None,
        protocol: str = "http1",
        http2: HTTP2Settings | None = None,
    ) -> None:
        self.address = address
        self.name = name or str(address)
        self.weight = weight  # what algorithms go by
        self.priority = 0  # servers of higher numbers get what those of lower ones cannot take
        self.zone = ""
        self.labels: Mapping[str, str] = {}
        self.full_weight = weight  # what it comes to when the server has started
        self.written = weight  # in the configuration; the weight in use may have been set by hand since
        self.backup = backup
        self.limit = self.most = _NO_LIMIT if max_connections is None else max_connections  # as it is, as configured
        self.idle = IdleConnections(keep_alive or KeepAlive())
        self.protocol = protocol
        self.shared = None if protocol == "http1" else SharedConnections(http2 or HTTP2Settings())
        self.connections = {"http1": 0, "h2": 0}
        self.owner: Pool | None = None
        # Traffic.
        self.active = 0
        self.adaptive: int | None = None  # the most in flight, as its answers tell; limit goes by it
        self.share: Share | None = None  # with it, limit is 0 and says nothing
        self.requests = 0
        self.failures = 0
        self.connect_failures = 0
        self.latency = 0.0
        self.heard = 0.0  # when latency was last measured
        # State. What the pool makes of it is in open and open_to_known (those who stick to this server).
        self.open = weight > 0
        self.open_to_known = True
        self.disabled = self.draining = False
        self.healthy = True
        self.probed = False  # whether a probe has ever said so
        self.reason = ""  # why it is in its present state: the last probe's words, or the resolver's
        self.ejected_until = 0.0  # 0.0: not ejected
        self.tripped = ""  # why its breaker lets nothing pass; empty: it does
        self.ejections = 0
        self.returned = 0.0
        self.failures_in_row = 0
        self.failures_since = 0.0
        self.encryption: Any = None  # how TLS is spoken with it, an Encryption of forwarding; None: it is not
        # Addresses.
        self.endpoints: tuple[Address, ...] = (address,)
        self._resting: frozenset[Address] = frozenset()
        self._turn = -1

    @property
    def max_connections(self) -> int | None:
        """Most exchanges and sessions at a time, or None."""
        if self.share is not None:
            return self.share.most
        return None if self.most == _NO_LIMIT else self.most

    @max_connections.setter
    def max_connections(self, value: int | None) -> None:
        self.limit = self.most = _NO_LIMIT if value is None else value
        if self.owner is not None:
            self.owner.refresh()

    @property
    def up(self) -> bool:
        """Whether probes, if there are any, find it well, and its address is known."""
        return self.healthy and bool(self.endpoints)

    @property
    def ejected(self) -> bool:
        """Whether it is left out for failing real traffic."""
        return self.ejected_until > 0.0

    @property
    def may_panic(self) -> bool:
        """Whether it may be used while no server is well."""
        return bool(self.endpoints) and not (self.disabled or self.draining or self.tripped) and self.weight > 0

    @property
    def takes_known(self) -> bool:
        """Whether clients who stick to it may stay, as far as it is well."""
        return bool(self.endpoints) and not self.disabled and not self.tripped

    @property
    def full(self) -> bool:
        """Whether it is at its ``max_connections``."""
        return self.active >= self.limit and not self.has_room()

    def has_room(self) -> bool:
        """Whether the limit that is kept to together with other processes allows one more; False if there is none."""
        if self.share is None or (self.adaptive is not None and self.active >= self.adaptive):
            return False
        return self.share.has_room()

    def share_limit(self, share: Share | None) -> None:
        """Keep to ``max_connections`` together with other processes from now on, or (None) alone."""
        if self.share is not None:
            self.share.put(0)
        self.share = share
        if share is not None:
            self.limit = 0
            share.put(self.active)

    @property
    def state(self) -> str:
        """One of :data:`STATES`."""
        return "disabled" if self.disabled else self.condition

    @property
    def condition(self) -> str:
        """The same, were it not disabled."""
        if not self.up:
            return "down"
        if self.ejected_until > 0.0:
            return "ejected"
        return "tripped" if self.tripped else "draining" if self.draining else "up"

    def drain(self) -> None:
        """Take no new clients; those who stick to this server are still served, exchanges in flight go on."""
        if not self.draining:
            self.draining = True
            if self.owner is not None:
                self.owner.observe(ServerDrained(self.owner.name, self.name))
                self.owner.refresh()

    def undrain(self) -> None:
        """Take new clients again."""
        if self.draining:
            self.draining = False
            if self.owner is not None:
                self.owner.observe(ServerUndrained(self.owner.name, self.name))
                self.owner.refresh()

    def disable(self) -> None:
        """Take nothing new, from nobody, and keep no connections; what is in flight goes on. Probes do too."""
        if not self.disabled:
            self.disabled = True
            self.drop_idle()
            if self.owner is not None:
                self.owner.observe(ServerDisabled(self.owner.name, self.name))
                self.owner.refresh()

    def enable(self) -> None:
        """Be as any other again."""
        if self.disabled:
            self.disabled = False
            self._keep_connections()
            if self.owner is not None:
                self.owner.observe(ServerEnabled(self.owner.name, self.name))
                self.owner.refresh()

    def configure_as(self, other: Server) -> None:
        """Take the settings of ``other``, which stands for the same server in a newer configuration."""
        if other.written != self.written:
            self.full_weight = self.written = other.written
        self.weight = self.full_weight
        self.backup = other.backup
        self.priority, self.zone, self.labels = other.priority, other.zone, other.labels
        self.limit = self.most = other.most
        self.adaptive = None
        if other.protocol != self.protocol:
            self.close_idle()
            self.protocol, self.shared = other.protocol, other.shared
            self.idle = IdleConnections(other.idle.settings)
            self._keep_connections()
        if _speaks(other) != _speaks(self):
            self.drop_idle()  # they were made in another trust
        self.encryption = other.encryption
        self.idle.settings = other.idle.settings
        if self.shared is not None and other.shared is not None:
            self.shared.settings = other.shared.settings

    def close_idle(self) -> None:
        """Close the idle connections, and keep none from now on; those that are shared finish what they carry."""
        self.idle.close()
        if self.shared is not None:
            self.shared.close()

    def drop_idle(self) -> None:
        """Close the idle connections, and those that are shared once they are idle; those to come are kept as before."""
        self.idle.close()
        self.idle = IdleConnections(self.idle.settings)
        if self.shared is not None:
            self.shared.drop()
        self._keep_connections()

    def _keep_connections(self) -> None:
        """Keep connections from now on, unless it is disabled."""
        self.idle.closed = self.disabled
        if self.shared is not None:
            self.shared.closed = self.disabled

    def give_up_idle(self) -> int:
        """Close about a quarter of the idle connections, because descriptors are short; return how many."""
        given_up = self.idle.give_up(max(1, len(self.idle) // 4))
        if self.shared is not None:
            given_up += self.shared.give_up(1)
        return given_up

    # A name may have several addresses: they take turns, those that fail rest until the name is resolved again.

    def next_endpoint(self) -> Address:
        """Return the address for the next connection: the addresses of a name take turns."""
        endpoints = self.endpoints
        if len(endpoints) < 2:
            return endpoints[0] if endpoints else self.address
        for _ in endpoints:
            self._turn = (self._turn + 1) % len(endpoints)
            endpoint = endpoints[self._turn]
            if endpoint not in self._resting:
                return endpoint
        self._resting = frozenset()  # none of them can be connected to: then none is worse than another
        return endpoint

    def endpoint_failed(self, endpoint: Address) -> None:
        """Leave out ``endpoint``, to which no connection could be made, while others are left."""
        if len(self.endpoints) > 1:
            self._resting |= {endpoint}

    def resolved(self, endpoints: tuple[Address, ...]) -> None:
        """Use these addresses; none means that the server is down."""
        self.endpoints = endpoints
        self._resting = frozenset()
        self._turn = -1

    def __repr__(self) -> str:
        name = self.name if self.name == str(self.address) else f"{self.name} at {self.address}"
        state = f"{self.state} ({self.reason})" if self.reason and self.state == "down" else self.state
        limit = "" if self.max_connections is None else f" of {self.max_connections}"
        backup = " backup" if self.backup else ""
        return f"<Server {name} {state} weight={self.full_weight}{backup} active={self.active}{limit}>"


classImplements(Server, IServer)


def _speaks(server: Server) -> Any:
    """Return what tells two ways to speak TLS apart."""
    return None if server.encryption is None else server.encryption.settings
