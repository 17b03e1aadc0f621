"""What outlives snapshots: clock, timers, gates, the log, the metrics, and how servers are connected to."""

from __future__ import annotations

import random
import resource
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from prometheus_client.metrics_core import Metric
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Site as TwistedSite

from balancer.acme.wanted import wanted_of
from balancer.config.listeners import AnyListener, UdpListener
from balancer.errors import OUT_OF_RESOURCES, BalancerError, ExchangeError, Side
from balancer.filters.waf.threads import CheckThreads
from balancer.forwarding.connector import ServerConnector
from balancer.forwarding.mirroring.mirrors import Mirrors
from balancer.forwarding.server_side import ServerSide
from balancer.listeners.accept import Gate
from balancer.model.address import Address
from balancer.model.tls import TLSInfo
from balancer.net.connecting import connect
from balancer.net.gathering import gathering
from balancer.net.splice import Pipes
from balancer.net.timers import Wheel
from balancer.pools.events import Observer
from balancer.pools.pool import Pool
from balancer.pools.server import Server
from balancer.service.certificates import Certificates, threads_of
from balancer.service.observing import Observing, log_event
from balancer.service.ordering import Ordering
from balancer.service.overload import Overload
from balancer.service.posting import posts
from balancer.service.releases import Releases
from balancer.service.snapshot import Snapshot
from balancer.service.stapling import Stapler
from balancer.service.threads import from_thread, own_thread
from balancer.tls.tickets import TicketKeys
from balancer.wire.ids import new_id

__all__ = ["Runtime"]

_log = Logger()


def default_connections() -> int:
    """Return how many client connections the descriptors allow: 80 % of half, the other half is for servers."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, int(soft / 2 * 0.8))


def _staples(settings: AnyListener) -> bool:
    tls = None if isinstance(settings, UdpListener) else settings.tls
    return tls is not None and tls.ocsp


def _ticket_span(snapshot: Snapshot) -> float | None:
    """Return how long a key of session tickets is used: all listeners have the same, so the shortest wish counts."""
    tls = [each.tls for each in snapshot.config.listeners.values() if not isinstance(each, UdpListener)]
    return min((each.tickets.rotate for each in tls if each is not None and each.tickets is not None), default=None)


class Runtime:
    """One per service.

    Args:
        reactor: everything runs on it.
        secret: signs what clients get where the configuration has no secret; random by default.
    """

    def __init__(self, reactor: Any, secret: str | None = None) -> None:
        self.reactor = reactor
        self.observe_pool: Observer = log_event
        """Is told what happens to servers."""
        self.wheel = Wheel(reactor)
        self.soon = Wheel(reactor, 0.005)
        """For what is due within less than a second, and comes seldom."""
        self.certificates = Certificates(self.wheel, threads_of(reactor))
        self.certificates.changed = self._shows_another
        self.certificates.pool_changed = self._believes_others
        self.stapler = Stapler(self.wheel, posts(reactor, "ocsp"), self._answered, draw=random.random)
        self.ordering = Ordering(self.wheel, own_thread(reactor, "acme"), from_thread(reactor), random.random)
        self.ordering.changed = self.certificates.look
        self.ordering.tell = lambda: self.observe_tls()
        self.observe_tls: Callable[[], Any] = lambda: None
        """Is told when :meth:`shared_tls` has changed; may return a Deferred that fires when everybody knows."""
        self.pipes = Pipes()
        self._connector = ServerConnector(self._dial, self.wheel, gathering(reactor))
        self.overload = Overload(reactor, random.random)
        self.observing = Observing(reactor, self.overload.look)
        self.releases = Releases(reactor)
        self.releases.watching.gather = self.observing.metrics.collect
        self.observing.metrics.watch(self.told)
        self.observe_exchange = self.observing.exchange
        self.mirrors = Mirrors(reactor, self.wheel, random.random, self.observing.line)
        self.observe_session = self.observing.session
        self.check_threads = CheckThreads(reactor)
        self.draw = random.random
        self.new_id = new_id
        self.ticket_keys = TicketKeys()
        self._rotating = LoopingCall(self._rotate)
        self._rotating.clock = reactor
        self.secret = secret or secrets.token_hex(32)
        self.twisted_site = TwistedSite(Resource(), reactor=reactor)
        self._gate = self.gate()
        self._pools: Mapping[str, Pool] = {}
        self._snapshot: Snapshot | None = None
        self._stapled: list[str] = []
        self.given_up = 0
        """Idle connections to servers that were closed because descriptors were short."""

    def wait(self, seconds: float) -> Deferred[None]:
        """Return what fires in so many seconds; it can be cancelled."""
        return deferLater(self.reactor, seconds)

    def gate(self) -> Gate:
        """Return the gate of the whole process."""
        return Gate()

    def use(self, snapshot: Snapshot) -> None:
        """Take the limits and the observers of ``snapshot`` into use."""
        limits = snapshot.config.limits
        self._pools = snapshot.pools
        self.watch(snapshot)
        self._gate.connections = limits.connections if limits.connections is not None else default_connections()
        self._gate.per_client = limits.connections_per_client
        self.overload.use(limits.shed_after)
        self.check_threads.resize(snapshot.config.waf.threads, snapshot.config.waf.waiting)
        self.observing.use(snapshot)

    def watch(self, snapshot: Snapshot) -> None:
        """Watch the files of the certificates of ``snapshot``, and have their authorities asked."""
        self._snapshot = snapshot
        self._stapled = [name for name, each in snapshot.config.listeners.items() if _staples(each)]
        self.certificates.use(snapshot.shelves, snapshot.pool_shelves)
        self._rotate_each(_ticket_span(snapshot))
        self._ask_authorities()
        self._order(snapshot)
        self._release(snapshot)

    def told(self) -> Iterator[Metric]:
        """Yield metrics of what is no part of a snapshot: certificates ordered, releases, mirrors."""
        yield from self.ordering.metrics()
        yield from self.releases.metrics()
        yield from self.mirrors.metrics()

    def _rotate_each(self, seconds: float | None) -> None:
        """Begin to use a new key for session tickets each so many seconds; None: they are not used."""
        rotating = self._rotating
        if rotating.running:
            if rotating.interval == seconds:
                return
            rotating.stop()
        if seconds is not None:
            rotating.start(seconds, now=False).addErrback(partial(_log.failure, "session tickets get no new keys"))

    def _rotate(self) -> None:
        self.ticket_keys.rotate()
        self.observe_tls()

    def shared_tls(self) -> dict[str, Any]:
        """Return what all processes need alike for TLS, as of :class:`~balancer.service.workers.protocol.ShareTLS`."""
        staples = {key: answer.hex() for key, answer in self.certificates.staples.items()}
        keys = [key.hex() for key in self.ticket_keys.keys]
        ordering = self.ordering
        return {"staples": staples, "keys": keys, "proofs": [dict(ordering.proofs), dict(ordering.proofs_of_names)]}

    def left(self, state: list[Any]) -> dict[str, Any]:
        """Return what a process that takes over is told besides sockets; ``state`` is how servers are doing."""
        return {"secret": self.secret, "state": state, "tls": self.shared_tls(), "splits": self.releases.left()}

    def inherit(self, tls: Mapping[str, Any], splits: Iterable[list[Any]] = ()) -> None:
        """Go on with keys of tickets, answers of authorities and weights of splits, as another process has left them."""
        self.releases.inherit(splits)
        keys = [bytes.fromhex(key) for key in tls.get("keys", ())]
        if keys:
            self.ticket_keys.use(keys)
        self.stapler.inherit({key: bytes.fromhex(answer) for key, answer in tls.get("staples", {}).items()})

    def _order(self, snapshot: Snapshot) -> None:
        """Have the certificates ordered that the configuration wants from authorities."""
        self.ordering.use(wanted_of(snapshot.config.listeners.values()))

    def _release(self, snapshot: Snapshot) -> None:
        """Have the splits go on as they were."""
        self.releases.use(snapshot)

    def _ask_authorities(self) -> None:
        """Have the authorities asked about the certificates of the moment."""
        known = {} if self._snapshot is None else self._snapshot.shelves
        shelves = [known[name] for name in self._stapled if name in known]
        self.stapler.use([identity for shelf in shelves for identity in shelf.choice.identities])

    def _answered(self, staples: dict[str, bytes]) -> None:
        self.certificates.staple(staples)
        self.observe_tls()

    def _shows_another(self, listener: str) -> None:
        """A listener has other certificates, or other answers of authorities, to show."""
        if self._snapshot is not None:
            try:
                self._snapshot.show(listener)
            except BalancerError as error:
                _log.error("listener {listener}: {error}; what was there stays", listener=listener, error=error)
        self._ask_authorities()

    def _believes_others(self, pool: str) -> None:
        """A pool has another certificate to show, or other authorities to believe."""
        if self._snapshot is not None:
            try:
                self._snapshot.believe(pool)
            except BalancerError as error:
                _log.error("pool {pool}: {error}; what was there stays", pool=pool, error=error)

    def start(self, pool: Pool) -> None:
        """Let ``pool`` begin to probe and to look up names."""
        introduction = pool.introduction
        first = b"" if introduction is None else introduction.of_probes
        pool.start(partial(self.connect, first=first) if first else self.connect, self.reactor.nameResolver)

    def gate_below(self, listener: str, connections: int | None, per_client: int | None) -> Gate:
        """Return the gate of ``listener``, below the one of the whole process."""
        return Gate(connections, per_client, above=self._gate)

    def connect_http(
        self, server: Server, timeout: float, *, alone: bool = False, first: bytes = b"", whom: bytes = b""
    ) -> Deferred[ServerSide]:
        """Find, or open, a connection of HTTP to ``server``: see :class:`~balancer.forwarding.connector.ServerConnector`."""
        return self._connector(server, timeout, alone=alone, first=first, whom=whom)

    def _dial(
        self,
        server: Server,
        then: Callable[[TLSInfo | None], Any],
        alpn: tuple[str, ...],
        timeout: float,
        first: bytes = b"",
    ) -> Deferred[Any]:
        """Connect to one of the addresses of ``server``: a :data:`~balancer.forwarding.connector.Dial`."""
        endpoint = server.next_endpoint()

        def failed(failure: Failure) -> Failure:
            if isinstance(failure.value, ExchangeError) and failure.value.reason.side is Side.SERVER:
                server.endpoint_failed(endpoint)
            return failure

        encryption = server.encryption
        if encryption is None:
            connecting = self.connect(endpoint, then(None), timeout, first=first)
        else:
            below = partial(self.connect, first=first) if first else self.connect
            offered = encryption.settings.alpn or alpn
            connecting = encryption.connect(below, server.address.host, endpoint, then, offered, timeout)
        return connecting.addErrback(failed)

    def connect_session(self, address: Address, protocol: Any, timeout: float, first: bytes = b"") -> Deferred[Any]:
        """Open a connection whose bytes may go through the kernel, but for those that it begins with."""
        connecting = connect(self.reactor, address, protocol, timeout, self.wheel, spliced=True, first=first)
        if connecting.called:  # where descriptors are short that is known at once
            return connecting.addErrback(self._not_connected, address, protocol, timeout, True, first)
        return connecting

    def connect(
        self, address: Address, protocol: Any, timeout: float, *, spliced: bool = False, first: bytes = b""
    ) -> Deferred[Any]:
        """Open a connection that begins with ``first``; where descriptors are short, once more after idle ones were given up."""
        connecting = connect(self.reactor, address, protocol, timeout, self.wheel, spliced=spliced, first=first)
        return connecting.addErrback(self._not_connected, address, protocol, timeout, spliced, first)

    def _not_connected(
        self, failure: Failure, address: Address, protocol: Any, timeout: float, spliced: bool, first: bytes
    ) -> Any:
        error = failure.value
        if isinstance(error, ExchangeError) and error.reason is OUT_OF_RESOURCES and self.relieve():
            again = partial(connect, self.reactor, address, protocol, timeout, self.wheel, spliced=spliced, first=first)
            return deferLater(self.reactor, 0, again)  # what is closed here is free in the reactor's next turn
        return failure

    def relieve(self) -> int:
        """Close some of the idle connections to servers, because descriptors are short; return how many."""
        given_up = 0
        for pool in self._pools.values():
            for server in pool.servers:
                given_up += server.give_up_idle()
        self.given_up += given_up
        return given_up

    def rest(self) -> None:
        """Do no more of what one process does for all: another does, or nobody needs it."""
        self.ordering.stop()
        self.releases.stop()

    def close(self) -> None:
        """Measure and watch no more, and write out what is not written yet."""
        self._rotate_each(None)
        self.certificates.stop()
        self.stapler.stop()
        self.rest()
        self.overload.lag.stop()
        self.observing.close()
