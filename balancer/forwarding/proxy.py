"""The proxy leaf: the resource at the end of a route that forwards to a pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from balancer.forwarding.attempts import Connector
from balancer.forwarding.call import Call
from balancer.forwarding.exchange import Forward
from balancer.forwarding.upgrades import Upgrades

if TYPE_CHECKING:
    from balancer.pools.pool import Pool

__all__ = ["ProxyResource", "SubsetResource"]


@implementer(IResource)
class ProxyResource:
    """Forwards to the pool that the request's decision names.

    Args:
        pools: every pool by name.
        connect: opens a connection to a server.
        upgrades: makes tunnels of connections that change protocols.
    """

    isLeaf = True

    def __init__(self, pools: Mapping[str, Pool], connect: Connector, upgrades: Upgrades) -> None:
        self._pools = pools
        self._connect = connect
        self._upgrades = upgrades

    def of_subset(self, labels: Mapping[str, str]) -> ProxyResource:
        """Return the same for a route whose servers must have these labels."""
        return SubsetResource(self._pools, self._connect, self._upgrades, labels) if labels else self

    def render(self, request: Any) -> int:
        """Begin to forward ``request``, one of our own; it is answered in its own time."""
        kind = Call if request.record.grpc and request.head.upgrade is None else Forward
        kind(request, self._pools[request.decision.pool], self._connect, self._upgrades).start()
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


class SubsetResource(ProxyResource):
    """Forwards to servers that have some labels; ``labels`` go before what the request asks for.

    Args:
        labels: the values by label.
        others: as of :class:`ProxyResource`.
    """

    def __init__(
        self, pools: Mapping[str, Pool], connect: Connector, upgrades: Upgrades, labels: Mapping[str, str]
    ) -> None:
        super().__init__(pools, connect, upgrades)
        self.labels = labels

    def render(self, request: Any) -> int:
        """Begin to forward ``request`` to a server of the subset."""
        request.facts.subset = self.labels
        return super().render(request)
