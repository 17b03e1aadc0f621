"""A pool: a named set of servers, and who gets the next request.

::

    choose ──> sticky? ──> the algorithm's candidates ──> the first that is open, not full and not tried
      │                                                              │
      │ nobody: all_full? ──> wait (queue) ──────────────────────────┤
      │         else why_none()                                      ▼
                                                     begin ── exchange ──> end (latency, outcome, queue)

What may be chosen changes seldom (a probe, an ejection, an operator), requests come all the time: so each change makes
the pool compute anew which servers are ``open``, and :meth:`Pool.choose` only reads that.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from balancer.hooks.interfaces import Choice, IAlgorithm, IObservingAlgorithm
from balancer.model.facts import RequestFacts, SessionFacts
from balancer.pools.queue import Queue, QueueSettings
from balancer.pools.retry import RetryPolicy, RetrySettings
from balancer.pools.server import Server

__all__ = ["Pool", "PoolTimeouts"]

_LATENCY_DECAY = 10.0
"""Seconds in which a server's latency forgets a peak to 1/e."""

Facts = RequestFacts | SessionFacts


@dataclass(frozen=True, slots=True)
class PoolTimeouts:
    """How long servers may take, in seconds."""

    connect: float = 3.0
    first_byte: float = 60.0
    idle: float = 60.0
    write: float = 30.0


class Pool:
    """A named set of servers."""

    def __init__(
        self,
        name: str,
        servers: Sequence[Server],
        algorithm: Any,
        *,
        clock: IReactorTime,
        draw: Callable[[], float] = random.random,
        panic: bool = True,
        timeouts: PoolTimeouts | None = None,
        retry: RetrySettings | None = None,
        queue: QueueSettings | None = None,
    ) -> None:
        self.name = name
        self.servers = tuple(servers)
        self.algorithm = algorithm
        self.timeouts = timeouts or PoolTimeouts()
        self.retry = RetryPolicy(retry or RetrySettings(), clock.seconds)
        self.all_full = False
        self.in_panic = False
        self.sticky: Any = None
        self._panic_allowed = panic
        self._now = clock.seconds
        self._draw = draw
        self._queue = Queue(queue or QueueSettings(), clock, self._next_in_line)
        self._candidates = algorithm.candidates
        self._key_of = algorithm.key.of if algorithm.key is not None else None
        self._finished = algorithm.finished if IObservingAlgorithm.providedBy(algorithm) else None
        self._prepared: tuple[tuple[Server, int], ...] | None = None
        for server in self.servers:
            server.belongs_to(self, self.refresh)
        self.refresh()

    # Choosing.

    def choose(self, facts: Facts, tried: Sequence[Server] = (), sticky_to: Server | None = None) -> Server | None:
        """Return the server for this request or session, or None (see ``all_full`` and :meth:`why_none`).

        Does not count it: :meth:`begin` does. Hand-tuned: it runs for every request.
        """
        key_of = self._key_of
        choice = Choice(None if key_of is None else key_of(facts), self._draw, self._now())
        candidate: Server
        for candidate in self._candidates(choice):
            if candidate.open and candidate.active < candidate.limit and candidate not in tried:
                return candidate
        return self._any_left(tried)

    def _any_left(self, tried: Sequence[Server]) -> Server | None:
        """Return the least loaded server that may be used, if the algorithm forgot it; note whether all are full."""
        left = [server for server in self.servers if server.open and server not in tried]
        free = [server for server in left if server.active < server.limit]
        self.all_full = bool(left) and not free
        return min(free, key=lambda server: server.active / server.weight, default=None)

    def begin(self, server: Server) -> None:
        """Count an exchange or session that begins on ``server``."""
        server.active += 1
        server.requests += 1

    def end(self, server: Server, seconds_to_first_byte: float, ok: bool, failed_connect: bool = False) -> None:
        """Count the end of an exchange or session, and learn from it."""
        server.active -= 1
        if ok:
            server.failures_in_row = 0
            if seconds_to_first_byte >= 0.0:
                now = self._now()
                latency = server.latency
                if seconds_to_first_byte < latency:
                    age = server.heard - now
                    seconds = seconds_to_first_byte
                    server.latency = seconds + (latency - seconds) * exp(age / _LATENCY_DECAY)
                else:
                    server.latency = seconds_to_first_byte
                server.heard = now
        else:
            server.failures += 1
            if failed_connect:
                server.connect_failures += 1
        if self._finished is not None:
            self._finished(server, seconds_to_first_byte, ok)
        if self._queue:
            self._queue.serve()

    def wait(self, facts: Facts) -> Deferred[Server]:
        """Wait for a server with room; to be called when ``all_full``. See :meth:`.Queue.wait`."""
        return self._queue.wait(facts)

    def _next_in_line(self, facts: Facts) -> Server | None:
        server = self.choose(facts)
        if server is not None:
            self.begin(server)
        return server

    def why_none(self) -> str:
        """Return, in words for the log, why :meth:`choose` found no server."""
        if not self.servers:
            return f"pool {self.name} has no servers"
        states: dict[str, int] = {}
        for server in self.servers:
            state = "full" if server.open and server.full else "tried" if server.open else server.state
            states[state] = states.get(state, 0) + 1
        return f"pool {self.name}: " + ", ".join(f"{count} {state}" for state, count in states.items())

    def refresh(self) -> None:
        """Compute which servers are open, after any change of state or weight."""
        servers = self.servers
        well = [server for server in servers if server.up and not server.ejected]
        fresh = [server for server in well if not server.draining and server.weight > 0]
        group = [server for server in fresh if not server.backup] or fresh
        self.in_panic = False
        if not group and self._panic_allowed:
            left = [server for server in servers if server.endpoints and not server.draining and server.weight > 0]
            group = [server for server in left if not server.backup] or left
            self.in_panic = bool(group)
        for server in servers:
            server.open = server in group
            server.open_to_known = (server.up and not server.ejected) or (self.in_panic and bool(server.endpoints))
        if self.algorithm.stable:
            backup = bool(group) and group[0].backup
            group = [server for server in servers if server.backup is backup and server.weight > 0]
        prepared = tuple((server, server.weight) for server in group)
        if prepared != self._prepared:
            self._prepared = prepared
            self.algorithm.prepare(tuple(group))
        if self._queue:
            self._queue.serve()

    def set_weight(self, server: Server, weight: int) -> None:
        """Change the weight of ``server``, now."""
        server.weight = weight
        self.refresh()
