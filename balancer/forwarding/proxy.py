"""The proxy leaf: the resource at the end of a route that forwards to a pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import classImplements

from balancer.errors import ExchangeError
from balancer.filters.mirror import NOTE as MIRRORED
from balancer.forwarding.attempts import Connector
from balancer.forwarding.call import Call
from balancer.forwarding.exchange import Forward
from balancer.forwarding.flight import Flight, asked_with
from balancer.forwarding.hedged import HedgedForward
from balancer.forwarding.limited import LimitedCall, LimitedForward
from balancer.forwarding.mirroring.mirrors import Mirroring
from balancer.forwarding.sharing import Key, Sharing
from balancer.forwarding.upgrades import Upgrades
from balancer.model.headers import RawHeaders

if TYPE_CHECKING:
    from balancer.model.exchange import Exchange
    from balancer.model.facts import RequestFacts
    from balancer.model.queueing import Queueing
    from balancer.pools.pool import Pool
    from balancer.pools.terms import Terms
    from balancer.wire.http1.heads import RequestHead

__all__ = ["AskingResource", "ProxyResource", "SharingProxy"]


class _Way:
    """How exchanges get to a pool: what brings them there."""

    __slots__ = ("call", "exchange", "pool", "terms")

    def __init__(self, pool: Pool, terms: Terms, exchange: type[Forward], call: type[Call]) -> None:
        self.pool = pool
        self.terms = terms
        self.exchange = exchange
        self.call = call


class ProxyResource:
    """Forwards to the pool that the request's decision names.

    Args:
        pools: every pool by name.
        connect: opens a connection to a server.
        upgrades: makes tunnels of connections that change protocols.
        terms: those on which requests are exchanged with a pool; by default its own.
        mirroring: sends copies of requests to other pools, None: nothing does.
    """

    isLeaf = True

    def __init__(
        self,
        pools: Mapping[str, Pool],
        connect: Connector,
        upgrades: Upgrades,
        terms: Callable[[Pool], Terms] | None = None,
        mirroring: Mirroring | None = None,
    ) -> None:
        self._pools = pools
        self._connect = connect
        self._upgrades = upgrades
        self._terms = terms
        self._mirroring = mirroring
        self._ways: dict[str, _Way] = {}

    def on(self, terms: Callable[[Pool], Terms] | None, sharing: Sharing | None = None) -> ProxyResource:
        """Return the leaf of a route with terms of its own, and one whose requests share answers."""
        if sharing is None:
            return ProxyResource(self._pools, self._connect, self._upgrades, terms, self._mirroring)
        return SharingProxy(self._pools, self._connect, self._upgrades, terms, self._mirroring, sharing)

    def asking(self, labels: Mapping[str, str], queueing: Queueing | None) -> ProxyResource:
        """Return the same for a route that asks the pool for something."""
        if not labels and queueing is None:
            return self
        return AskingResource(self, labels, queueing)

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
        way = self._ways.get(name) or self._way(name)
        kind = way.call if request.record.grpc and request.head.upgrade is None else way.exchange
        kind(self._tapped(request), way.pool, self._connect, self._upgrades, way.terms).start()
        return NOT_DONE_YET

    def _tapped(self, request: Any) -> Any:
        """Return what is forwarded in place of ``request``: itself, or where copies of it are made, what keeps what they need."""
        exchange = request.exchange
        if exchange is None or MIRRORED not in exchange.notes or self._mirroring is None:
            return request
        return self._mirroring.tapped(request)

    def shares(self, method: str, headers: RawHeaders) -> str | None:
        """Return, in words, whether such a request shares its answer with others; None where none does."""
        return None

    def copies(self, exchange: Exchange, head: RequestHead, body: bytes | None) -> list[tuple[str, str]]:
        """Return who gets copies of such a request, and why (not): pairs of a pool and ``""``, or a word.

        ``body`` is what is sent; nothing is, nor counted.
        """
        if self._mirroring is None or MIRRORED not in exchange.notes or head.upgrade is not None:
            return []
        return self._mirroring.explain(exchange, body)

    def getChildWithDefault(self, name: bytes, request: Any) -> IResource:
        """Every path below leads here."""
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        """A proxy has no children.

        Raises:
            TypeError: always.
        """
        raise TypeError("a pool serves every path below its route; mount other resources on routes of their own")


classImplements(ProxyResource, IResource)


class SharingProxy(ProxyResource):
    """Has requests that are alike, and in flight at the same time, share one request to a server; the rest as :class:`ProxyResource`."""

    def __init__(
        self,
        pools: Mapping[str, Pool],
        connect: Connector,
        upgrades: Upgrades,
        terms: Callable[[Pool], Terms] | None,
        mirroring: Mirroring | None,
        sharing: Sharing,
    ) -> None:
        super().__init__(pools, connect, upgrades, terms, mirroring)
        self._sharing = sharing
        self._flights: dict[tuple[str, Key], Flight] = {}

    def render(self, request: Any) -> int:
        """Begin to forward ``request``, or let it wait for the answer to another."""
        facts, exchange, sharing = request.facts, request.exchange, self._sharing
        headers = asked_with(request)
        if (
            not request.body.ended
            or request.body.received
            or request.is_held_back
            or request.head.upgrade is not None
            or sharing.alone(facts.method, headers)
            or (facts.tls is not None and facts.tls.client is not None)
            or (exchange is not None and (exchange.body or exchange.method != facts.method))
        ):
            return super().render(request)
        target = request.target if exchange is None else exchange.target
        name = request.decision.pool
        key = (name, sharing.key(facts.method, f"{facts.scheme}://{facts.host}", target, headers))
        flight = self._flights.get(key)
        if flight is not None:
            flight.board(request)
            return NOT_DONE_YET
        flight = self._flights[key] = Flight(request, sharing, self._alone, partial(self._landed, key))
        way = self._way(name)
        way.exchange(self._tapped(flight), way.pool, self._connect, self._upgrades, way.terms).start()
        return NOT_DONE_YET

    def _landed(self, key: tuple[str, Key]) -> None:
        del self._flights[key]

    def _alone(self, request: Any) -> None:
        """Forward a request for which the answer to another was not."""
        try:
            super().render(request)
        except ExchangeError as error:
            request.fail(error)

    def shares(self, method: str, headers: RawHeaders) -> str:
        """Return, in words, whether such a request shares its answer with others."""
        why = self._sharing.alone(method, headers)
        return f"no: {why}" if why else "with requests that are alike"


class AskingResource(ProxyResource):
    """Forwards for a route that asks its pool for something.

    Args:
        leaf: what forwards.
        labels: that servers must have, by name; they go before what the request asks for.
        queueing: how those wait that have to.
    """

    def __init__(self, leaf: ProxyResource, labels: Mapping[str, str], queueing: Queueing | None) -> None:
        super().__init__(leaf._pools, leaf._connect, leaf._upgrades, leaf._terms)
        self._leaf = leaf
        self._labels = labels
        self._queueing = queueing

    def ask(self, facts: RequestFacts) -> None:
        """Note in ``facts`` what is asked for."""
        if self._labels:
            facts.subset = self._labels
        if self._queueing is not None:
            facts.queueing = self._queueing

    def asks(self) -> dict[str, Any]:
        """Return what is asked for, as terms by name: ``{"subset": …, "queue.priority": …}``."""
        found: dict[str, Any] = {"subset": " ".join(f"{name}={value}" for name, value in self._labels.items())}
        if self._queueing is not None:
            found |= {"queue.priority": self._queueing.priority, "queue.timeout": self._queueing.timeout}
        return {name: value for name, value in found.items() if value not in (None, "")}

    def render(self, request: Any) -> int:
        """Begin to forward ``request``."""
        self.ask(request.facts)
        return self._leaf.render(request)

    def terms(self, pool: str) -> Terms:
        """Return the terms on which requests are exchanged with ``pool``."""
        return self._leaf.terms(pool)

    def shares(self, method: str, headers: RawHeaders) -> str | None:
        """Return, in words, whether such a request shares its answer with others; None where none does."""
        return self._leaf.shares(method, headers)

    def copies(self, exchange: Exchange, head: RequestHead, body: bytes | None) -> list[tuple[str, str]]:
        """Return who gets copies of such a request; see :meth:`ProxyResource.copies`."""
        return self._leaf.copies(exchange, head, body)
