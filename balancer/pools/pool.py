"""A pool: a named set of servers, and who gets the next request.

::

    choose ──> sticky? ──> the algorithm's candidates ──> the first that is open, not full and not tried
      │                                                              │
      │ nobody: all_full? ──> wait (queue) ──────────────────────────┤
      │         else refusal()                                       ▼
                                                     begin ── exchange ──> end (latency, outcome, queue)

What may be chosen changes seldom (a probe, an ejection, an operator), requests come all the time: so each change makes
the pool compute anew which servers are ``open``, and :meth:`Pool.choose` only reads that.

At a reload the new pool adopts the old one: :meth:`Pool.adopt`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from math import exp
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IHostnameResolver, IReactorTime

from balancer import errors
from balancer.compiled import mypyc_attr
from balancer.errors import ExchangeError
from balancer.hooks.interfaces import Choice, IObservingAlgorithm
from balancer.model.address import Address
from balancer.model.facts import RequestFacts, SessionFacts
from balancer.pools import explaining
from balancer.pools.dialing import Connect
from balancer.pools.eligible import eligible
from balancer.pools.events import (
    NameDidNotResolve,
    NameResolved,
    Observer,
    PanicBegan,
    PanicEnded,
    ServerCameUp,
    ServerWentDown,
    unobserved,
)
from balancer.pools.health import HealthChecks, HealthSettings
from balancer.pools.introduction import Introduction
from balancer.pools.limits import Wait
from balancer.pools.outliers import Outliers, Passive
from balancer.pools.queue import Queue, QueueSettings
from balancer.pools.resolve import Names, ResolveSettings
from balancer.pools.retry import RetryPolicy, RetrySettings
from balancer.pools.server import Server
from balancer.pools.sticky import Sticky
from balancer.pools.terms import Terms
from balancer.pools.timeouts import PoolTimeouts

__all__ = ["Facts", "Pool", "PoolTimeouts"]

_LATENCY_DECAY = 10.0  # seconds in which a server's latency forgets a peak to 1/e

Facts = RequestFacts | SessionFacts


@mypyc_attr(allow_interpreted_subclasses=True)
class Pool:
    """A named set of servers. Nothing is opened or scheduled before :meth:`start`.

    Args:
        name: shown in logs and metrics.
        servers: with distinct names; this pool sets their state from now on.
        algorithm: an ``IAlgorithm``, used by this pool only.
        clock: the reactor's.
        draw: returns a float in [0, 1), the only source of randomness.
        observer: is told of every event, see :mod:`balancer.pools.events`.
        panic: whether all servers are used when none is well.
        probe, health: an ``IProbe`` that asks servers whether they are well, None: they are not asked; how often it does.
        passive: when failing servers are ejected, None: never.
        sticky: keeps clients on their servers, None: nothing does.
        timeouts, retry, queue, resolve: see the classes; introduction: what connections to the servers begin with, None: nothing.

    ``terms``: of HTTP, unless a route has others; ``guarded``: whoever makes a connection for an exchange asks :meth:`connects` first;
    ``all_full``: after :meth:`choose` returned None, waiting makes sense; ``in_panic``: health is disregarded for now.
    """

    guarded = False

    def __init__(
        self,
        name: str,
        servers: Sequence[Server],
        algorithm: Any,
        *,
        clock: IReactorTime,
        draw: Callable[[], float] = random.random,
        observer: Observer = unobserved,
        panic: bool = True,
        probe: Any = None,
        health: HealthSettings | None = None,
        passive: Passive | None = None,
        sticky: Sticky | None = None,
        timeouts: PoolTimeouts | None = None,
        retry: RetrySettings | None = None,
        queue: QueueSettings | None = None,
        resolve: ResolveSettings | None = None,
        introduction: Introduction | None = None,
    ) -> None:
        self.name = name
        self.servers: tuple[Server, ...] = tuple(servers)
        self.algorithm = algorithm
        self.sticky = sticky
        self.introduction = introduction
        self.timeouts = timeouts or PoolTimeouts()
        self.retry = RetryPolicy(retry or RetrySettings(), clock.seconds, draw=draw)
        self.terms = Terms(self.timeouts, self.retry, clock.callLater)
        self.queue = Queue(queue or QueueSettings(), clock, self._next_in_line)
        self.observe = observer
        self.all_full = False
        self.in_panic = False
        self._panic_allowed = panic
        self._now = clock.seconds
        self.draw = draw
        self.outliers = None if passive is None else Outliers(passive, self, clock)
        self._checks = (
            None if probe is None else HealthChecks(health or HealthSettings(), probe, clock, draw, self._judged)
        )
        self._names = Names(resolve or ResolveSettings(), clock, draw, self._resolved)
        self._candidates = algorithm.candidates
        self._key_of = algorithm.key.of if algorithm.key is not None else None
        self._finished = algorithm.finished if IObservingAlgorithm.providedBy(algorithm) else None
        self._prepared: tuple[tuple[Server, int], ...] | None = None
        self._own()

    def start(self, connect: Connect, resolver: IHostnameResolver | None = None) -> Deferred[None]:
        """Begin to probe and to look up names.

        Args:
            connect: makes connections for probes.
            resolver: looks names up (a reactor's ``nameResolver``); without it ``connect`` must.

        Returns:
            Fires when every name was looked up once; nothing need wait for it.
        """
        looked_up = succeed(None) if resolver is None else self._names.start(self.servers, resolver)
        if self._checks is not None:
            self._checks.start(self.servers, connect)
        return looked_up

    def stop(self) -> None:
        """End probes and look-ups. Exchanges in flight, and those in the queue, go on."""
        self._names.stop()
        if self._checks is not None:
            self._checks.stop()
        if self.outliers is not None:
            self.outliers.stop()

    def close(self) -> None:
        """Stop, and close the idle connections of servers that no other pool has adopted."""
        self.stop()
        for server in self.servers:
            if server.owner is self:
                server.close_idle()

    # Choosing.

    def choose(self, facts: Facts, tried: Sequence[Server] = (), sticky_to: Server | None = None) -> Server | None:
        """Return the server for this request or session, or None (see ``all_full`` and :meth:`why_none`).

        Does not count it: :meth:`begin` does. Hand-tuned, as it runs for every request.
        """
        sticky = self.sticky
        if sticky is not None and sticky_to is None:
            sticky_to = sticky.server_for(facts)
        if sticky_to is not None and explaining.takes_known(sticky_to) and sticky_to not in tried:
            return sticky_to
        key_of = self._key_of
        candidate: Server
        for candidate in self._candidates(Choice(None if key_of is None else key_of(facts), self.draw, self._now())):
            if (
                candidate.open
                and (candidate.active < candidate.limit or candidate.has_room())
                and candidate not in tried
            ):
                break
        else:
            left = self._any_left(tried)
            if left is None:
                return None
            candidate = left
        if sticky is not None:
            sticky.remember(facts, candidate)
        return candidate

    def _any_left(self, tried: Sequence[Server]) -> Server | None:
        """Return the least loaded server that may be used, if the algorithm forgot it; note whether all are full."""
        left = [server for server in self.servers if server.open and server not in tried]
        free = [server for server in left if not server.full]
        self.all_full = bool(left) and not free
        return min(free, key=lambda server: server.active / server.weight, default=None)

    def explain(self, facts: Facts, draw: Callable[[], float] | None = None) -> list[tuple[Server, bool, str]]:
        """Return every server in the order of preference for ``facts``: whether it may be used, and why (not).

        The first that may is the one that :meth:`choose` returns for the same draws. Nothing is counted or remembered.
        """
        return explaining.explain(self, facts, draw or self.draw, self._now())

    def explain_out(self) -> list[tuple[str, str]]:
        """Return the servers that take no new request now, each with why."""
        return explaining.out(self, self._now())

    def fate(self, facts: Facts, server: Server | None, alone: bool = False) -> ExchangeError | None:
        """Return what one ends with at once for whom :meth:`explain` found ``server``; None: it goes there or, without one, waits."""
        return None if server is not None else explaining.fate(self, facts, self.servers)

    def barred(self, facts: Facts | None = None) -> str:
        """Return why nothing may begin, whatever the servers are like; empty if it may, as ever here."""
        return ""

    def refusal(self, facts: Facts) -> ExchangeError:
        """Return what a request or session ends with that :meth:`choose` found no server for."""
        return ExchangeError(errors.DESTINATION_UNAVAILABLE, self.barred(facts) or explaining.why_none(self))

    # Traffic.

    def begin(self, server: Server) -> None:
        """Count an exchange or session that begins on ``server``."""
        server.active += 1
        server.requests += 1
        if server.share is not None:
            server.share.put(server.active)

    def end(
        self, server: Server, seconds_to_first_byte: float, ok: bool, failed_connect: bool = False, status: int = 0
    ) -> None:
        """Count the end of what was begun, and learn from it.

        Args:
            server: where it ran; may have been adopted by another pool since.
            seconds_to_first_byte: negative if there was none.
            ok: False if the server failed.
            failed_connect: it could not even be connected to.
            status: what it answered, if that is from 500.
        """
        if server.owner is not self and server.owner is not None:
            server.owner.end(server, seconds_to_first_byte, ok, failed_connect, status)
            return
        server.active -= 1
        if server.share is not None:
            server.share.put(server.active)
        if ok:
            server.failures_in_row = 0
            if seconds_to_first_byte >= 0.0:
                now = self._now()
                latency = seconds_to_first_byte
                if latency < server.latency:
                    latency += (server.latency - latency) * exp((server.heard - now) / _LATENCY_DECAY)
                server.latency = latency
                server.heard = now
        else:
            server.failures += 1
            if failed_connect:
                server.connect_failures += 1
            if self.outliers is not None:
                self.outliers.failed(server, failed_connect)
        if self._finished is not None:
            self._finished(server, seconds_to_first_byte, ok)
        if self.queue.waiting:
            self.queue.serve()

    def connects(self, server: Server, alone: bool = False) -> Wait | None:
        """Count an exchange that needs a connection (``alone``: of its own) until that is over, if anybody does.

        Raises:
            ExchangeError: if it must not have one.
        """
        return None

    def session_connects(self, retry: bool) -> Wait | None:
        """The same for a session; ``retry``: it has failed elsewhere."""
        return None

    def wait(self, facts: Facts) -> Deferred[Server]:
        """Wait for a server with room; to be called when ``all_full``. See :meth:`.Queue.wait`."""
        return self.queue.wait(facts)

    def _next_in_line(self, facts: Facts) -> Server | None:
        server = self.choose(facts)
        if server is not None:
            self.begin(server)
        return server

    # State.

    def refresh(self) -> None:
        """Compute which servers are open, after any change of state or weight."""
        servers = self.servers
        group, panic = eligible(servers, self._panic_allowed)
        opened = set(group)
        for server in servers:
            server.open = server in opened
            well = panic or (server.healthy and not server.ejected)
            server.open_to_known = well and server.takes_known
        if self.algorithm.stable:  # it wants to know those that are down as well
            backups = bool(group) and group[0].backup
            group = [server for server in servers if server.backup is backups and server.weight > 0]
        prepared = tuple((server, server.weight) for server in group)
        if prepared != self._prepared:
            self._prepared = prepared
            self.algorithm.prepare(tuple(group))
        if panic != self.in_panic:
            self.in_panic = panic
            self.observe((PanicBegan if panic else PanicEnded)(self.name))
        if self.queue.waiting:
            self.queue.serve()

    def set_weight(self, server: Server, weight: int) -> None:
        """Give ``server`` another weight from now on; with 0 it takes no new clients.

        Raises:
            ValueError: for a weight below 0.
        """
        if weight < 0:
            raise ValueError(f"expected a weight of 0 or more, got {weight}")
        server.weight = server.full_weight = weight
        self.refresh()

    def adopt(self, old: Pool) -> None:
        """Take over from ``old``, which stood for this pool in the configuration before, and stop it.

        Servers of the same name and address keep their object: health, counters, ejections, draining, what is in
        flight, idle connections. The queue, and what makes clients stick, move here too. To be called before
        :meth:`start`, once nothing can keep this configuration from being used; ``servers`` changes.
        """
        old.stop()
        known = {(server.name, server.address): server for server in old.servers if server.owner is old}
        servers = []
        for mine in self.servers:
            theirs = known.pop((mine.name, mine.address), None)
            if theirs is not None:
                theirs.configure_as(mine)
                if self._checks is None:
                    theirs.healthy, theirs.probed = True, False
                if self.outliers is None:
                    theirs.ejected_until = 0.0
                theirs.tripped = ""
            servers.append(theirs or mine)
        for gone in known.values():
            gone.close_idle()
        self.servers = tuple(servers)
        if self.sticky is not None and old.sticky is not None:
            self.sticky.adopt(old.sticky)
        self.retry.retries, self.retry.refused = old.retry.retries, old.retry.refused
        self.in_panic = old.in_panic
        self._take_states(old)
        self._own()
        if self.outliers is not None:
            self.outliers.take_over(old.outliers)
        self.queue.take_over(old.queue)
        self.queue.serve()

    def _take_states(self, old: Pool) -> None:
        """Take what the policies of ``old`` know; ``servers`` are the final ones."""

    def _own(self) -> None:
        for server in self.servers:
            server.owner = self
        if self.sticky is not None:
            self.sticky.bind(self.servers)
        self.refresh()

    def tell(self, server: Server, healthy: bool, reason: str, endpoints: tuple[Address, ...]) -> None:
        """Take over what another process, which probes and resolves for this one, knows of ``server``."""
        if (server.healthy and not healthy) or set(server.endpoints) - set(endpoints) - {server.address}:
            server.drop_idle()
        if server.endpoints != endpoints:
            server.resolved(endpoints)
        server.healthy = healthy
        if not server.ejected:
            server.reason = reason
        self.refresh()

    def _judged(self, server: Server, well: bool, reason: str) -> None:
        """A probe has brought ``server`` up or taken it down."""
        self.observe((ServerCameUp if well else ServerWentDown)(self.name, server.name, reason))
        self.refresh()

    def _resolved(self, server: Server, endpoints: tuple[Any, ...], words: str) -> None:
        """The name of ``server`` has other addresses than before, or none."""
        if set(server.endpoints) - set(endpoints) - {server.address}:
            server.drop_idle()  # some of them lead where the name no longer points
        server.resolved(endpoints)
        server.reason = "" if endpoints else words
        self.observe((NameResolved if endpoints else NameDidNotResolve)(self.name, server.name, words))
        self.refresh()

    def __repr__(self) -> str:
        open_ = sum(server.open for server in self.servers)
        panic = " in panic" if self.in_panic else ""
        return f"<Pool {self.name} {open_} of {len(self.servers)} open{panic} by {self.algorithm!r}>"
