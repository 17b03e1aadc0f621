"""The proxy leaf: the resource at the end of a route that forwards to a pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from balancer.filters.mirror import NOTE as MIRRORED
from balancer.forwarding.attempts import Connector
from balancer.forwarding.call import Call
from balancer.forwarding.exchange import Forward
from balancer.forwarding.mirroring.mirrors import Mirroring
from balancer.forwarding.upgrades import Upgrades

if TYPE_CHECKING:
    from balancer.model.facts import RequestFacts
from balancer.model.queueing import Queueing
from balancer.pools.pool import Pool

__all__ = ["AskingResource", "ProxyResource"]


@implementer(IResource)
class ProxyResource:
    """Forwards to the pool that the request's decision names.

    Args:
        pools: every pool by name.
        connect: opens a connection to a server.
        upgrades: makes tunnels of connections that change protocols.
        mirroring: sends copies of requests to other pools, None: nothing does.
    """

    isLeaf = True

    def __init__(
        self, pools: Mapping[str, Pool], connect: Connector, upgrades: Upgrades, mirroring: Mirroring | None = None
    ) -> None:
        self._pools = pools
        self._connect = connect
        self._upgrades = upgrades
        self._mirroring = mirroring

    def asking(self, labels: Mapping[str, str], queueing: Queueing | None) -> ProxyResource:
        """Return the same for a route that asks the pool for something."""
        if not labels and queueing is None:
            return self
        return AskingResource(self._pools, self._connect, self._upgrades, labels, queueing, self._mirroring)

    def render(self, request: Any) -> int:
        """Begin to forward ``request``, one of our own; it is answered in its own time."""
        kind = Call if request.record.grpc and request.head.upgrade is None else Forward
        pool = self._pools[request.decision.pool]
        exchange = request.exchange
        if exchange is not None and MIRRORED in exchange.notes and self._mirroring is not None:
            request = self._mirroring.tapped(request)
        kind(request, pool, self._connect, self._upgrades).start()
        return NOT_DONE_YET

    def getChildWithDefault(self, name: bytes, request: Any) -> IResource:
        """Every path below leads here."""
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        """A proxy has no children.

        Raises:
            TypeError: always.
        """
        raise TypeError("a pool serves every path below its route; mount other resources on routes of their own")


class AskingResource(ProxyResource):
    """Forwards for a route that asks its pool for something.

    Args:
        labels: that servers must have, by name; they go before what the request asks for.
        queueing: how those wait that have to.
        others: as of :class:`ProxyResource`.
    """

    def __init__(
        self,
        pools: Mapping[str, Pool],
        connect: Connector,
        upgrades: Upgrades,
        labels: Mapping[str, str],
        queueing: Queueing | None,
        mirroring: Mirroring | None = None,
    ) -> None:
        super().__init__(pools, connect, upgrades, mirroring)
        self._labels = labels
        self._queueing = queueing

    def ask(self, facts: RequestFacts) -> None:
        """Note in ``facts`` what is asked for."""
        if self._labels:
            facts.subset = self._labels
        if self._queueing is not None:
            facts.queueing = self._queueing

    def render(self, request: Any) -> int:
        """Begin to forward ``request``."""
        self.ask(request.facts)
        return super().render(request)
