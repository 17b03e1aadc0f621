"""A pool that looks at every request's beginning and end, for policies that want to: see :mod:`.limits`, :mod:`.breaker` and :mod:`.outliers`.

A pool without them is a :class:`~balancer.pools.pool.Pool`, and pays nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail

from balancer import errors
from balancer.errors import ExchangeError
from balancer.model.facts import SessionFacts
from balancer.pools.breaker import Breaker
from balancer.pools.circuit import TripSettings
from balancer.pools.limits import Limit, Limits, LimitSettings, Wait
from balancer.pools.pool import Facts, Pool
from balancer.pools.server import Server

__all__ = ["GuardedPool"]


class GuardedPool(Pool):
    """A pool with policies.

    Args:
        limits: what it takes on at a time.
        trip: when its breakers trip, None: it has none.
        others: as of :class:`Pool`.
    """

    guarded = True

    def __init__(
        self,
        *args: Any,
        limits: LimitSettings | None = None,
        trip: TripSettings | None = None,
        **others: Any,
    ) -> None:
        self.limits = Limits(limits or LimitSettings())
        self.breaker = None if trip is None else Breaker(trip, self, others["clock"])
        super().__init__(*args, **others)
        self.retry.limit = self.limits.retries
        self._watching = self.outliers if self.outliers is not None and self.outliers.settings.watches_all else None

    def choose(self, facts: Facts, tried: Sequence[Server] = (), sticky_to: Server | None = None) -> Server | None:
        """Return the server for this request or session, or None."""
        if self._over(facts) is not None or (self.breaker is not None and self.breaker.bars is not None):
            self.all_full = False
            return None
        return super().choose(facts, tried, sticky_to)

    def _over(self, facts: Facts | None) -> Limit | None:
        return self.limits.over(isinstance(facts, SessionFacts))

    def begin(self, server: Server) -> None:
        """Count an exchange or session that begins on ``server``."""
        super().begin(server)
        self.limits.requests.add(1)
        if self.breaker is not None:
            self.breaker.began(server)

    def end(
        self, server: Server, seconds_to_first_byte: float, ok: bool, failed_connect: bool = False, status: int = 0
    ) -> None:
        """Count the end of what was begun, and learn from it."""
        if server.owner is self or server.owner is None:
            self.limits.requests.add(-1)
            if self.breaker is not None:
                failed = not ok or (status >= 500 and self.breaker.settings.errors == "5xx")
                if status == 500 and self.breaker.settings.errors == "gateway":
                    failed = False  # it was retried, but that is what the server says
                self.breaker.ended(server, failed, seconds_to_first_byte)
            if self._watching is not None:
                self._watching.ended(server, not ok or status >= 500, seconds_to_first_byte)
        super().end(server, seconds_to_first_byte, ok, failed_connect, status)

    def wait(self, facts: Facts) -> Deferred[Server]:
        """Wait for a server with room, unless too many wait already."""
        pending = self.limits.pending
        if pending.full:
            return fail(self._refused(pending))
        pending.add(1)

        def waited(result: Any) -> Any:
            pending.add(-1)
            return result

        return super().wait(facts).addBoth(waited)

    def connects(self, server: Server, alone: bool = False) -> Wait | None:
        """Count an exchange that needs a connection; see :meth:`Pool.connects`."""
        return self._or_refuse(self.limits.connects(server, alone, self.servers))

    def session_connects(self, retry: bool) -> Wait | None:
        """Count a session that needs a connection; see :meth:`Pool.session_connects`."""
        return self._or_refuse(self.limits.session_connects(retry))

    def _or_refuse(self, found: Limit | Wait) -> Wait:
        if isinstance(found, Limit):
            raise self._refused(found)
        return found

    # Words.

    def barred(self, facts: Facts | None = None) -> str:
        """Return why nothing may begin, whatever the servers are like; empty if it may."""
        limit = self._over(facts)
        if limit is not None:
            return f"the pool is at its limit of {limit.most} {limit.name}"
        circuit = self.breaker.bars if self.breaker is not None else None
        return "" if circuit is None else circuit.describe(self._now())

    def refusal(self, facts: Facts) -> ExchangeError:
        """Return what a request or session ends with that :meth:`choose` found no server for; counts it."""
        limit = self._over(facts)
        return super().refusal(facts) if limit is None else self._refused(limit)

    def _refused(self, limit: Limit) -> ExchangeError:
        limit.refused += 1
        return ExchangeError(
            errors.POOL_LIMIT_REACHED, f"pool {self.name} is at its limit of {limit.most} {limit.name}"
        )

    # Life.

    def adopt(self, old: Pool) -> None:
        """Take over from ``old``; see :meth:`Pool.adopt`."""
        if isinstance(old, GuardedPool):
            self.limits.take_over(old.limits)
            self.retry.limit = self.limits.retries
        super().adopt(old)

    def _take_states(self, old: Pool) -> None:
        super()._take_states(old)
        if self.breaker is not None and isinstance(old, GuardedPool) and old.breaker is not None:
            self.breaker.take_over(old.breaker)

    def _own(self) -> None:
        self.limits.bind(self.servers)
        super()._own()

    def stop(self) -> None:
        """End probes and look-ups, and let breakers be as they are."""
        super().stop()
        if self.breaker is not None:
            self.breaker.stop()
