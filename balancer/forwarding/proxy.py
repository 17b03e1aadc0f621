"""The proxy leaf: the resource at the end of a route that forwards to a pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from balancer.forwarding.attempts import Connector
from balancer.forwarding.call import Call
from balancer.forwarding.exchange import Forward
from balancer.forwarding.hedged import HedgedForward
from balancer.forwarding.limited import LimitedCall, LimitedForward
from balancer.forwarding.upgrades import Upgrades

if TYPE_CHECKING:
    from balancer.pools.pool import Pool
    from balancer.pools.terms import Terms

__all__ = ["ProxyResource"]


class _Way(NamedTuple):
    """How exchanges get to a pool: what brings them there."""

    pool: Pool
    terms: Terms
    exchange: type[Forward]
    call: type[Call]


@implementer(IResource)
class ProxyResource:
    """Forwards to the pool that the request's decision names.

    Args:
        pools: every pool by name.
        connect: opens a connection to a server.
        upgrades: makes tunnels of connections that change protocols.
        terms: those on which requests are exchanged with a pool; by default its own.
    """

    isLeaf = True

    def __init__(
        self,
        pools: Mapping[str, Pool],
        connect: Connector,
        upgrades: Upgrades,
        terms: Callable[[Pool], Terms] | None = None,
    ) -> None:
        self._pools = pools
        self._connect = connect
        self._upgrades = upgrades
        self._terms = terms
        self._ways: dict[str, _Way] = {}

    def on(self, terms: Callable[[Pool], Terms]) -> ProxyResource:
        """Return the leaf of a route with terms of its own."""
        return ProxyResource(self._pools, self._connect, self._upgrades, terms)

    def terms(self, pool: str) -> Terms:
        """Return the terms on which requests are exchanged with ``pool``."""
        return self._way(pool).terms

    def _way(self, name: str) -> _Way:
        way = self._ways.get(name)
        if way is None:
            pool = self._pools[name]
            terms = pool.terms if self._terms is None else self._terms(pool)
            exchange, call = (LimitedForward, LimitedCall) if terms.limited else (Forward, Call)
            if terms.hedge is not None:
                exchange = HedgedForward
            way = self._ways[name] = _Way(pool, terms, exchange, call)
        return way

    def render(self, request: Any) -> int:
        """Begin to forward ``request``, one of our own; it is answered in its own time."""
        name = request.decision.pool
        pool, terms, exchange, call = self._ways.get(name) or self._way(name)
        kind = call if request.record.grpc and request.head.upgrade is None else exchange
        kind(request, pool, self._connect, self._upgrades, terms).start()
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
