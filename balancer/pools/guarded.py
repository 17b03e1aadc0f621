"""A pool that looks at every request's beginning and end, for policies that want to: see :mod:`.limits`, :mod:`.breaker`,
:mod:`.outliers` and :mod:`.slow_start`.

A pool without them is a :class:`~balancer.pools.pool.Pool`, and pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail

from balancer import errors
from balancer.errors import ExchangeError
from balancer.model.facts import SessionFacts
from balancer.pools import explaining
from balancer.pools.breaker import Breaker
from balancer.pools.circuit import TripSettings
from balancer.pools.concurrency import Concurrency, ConcurrencySettings
from balancer.pools.limits import Limit, Limits, LimitSettings, Wait
from balancer.pools.pool import Facts, Pool
from balancer.pools.priority_queue import PriorityQueue, PrioritySettings
from balancer.pools.sections import Sections
from balancer.pools.server import Server
from balancer.pools.slow_start import SlowStart, SlowStartSettings
from balancer.pools.subsets import Subsets

__all__ = ["GuardedPool"]


class GuardedPool(Pool):
    """A pool with policies.

    Args:
        limits: what it takes on at a time.
        trip: when its breakers trip, None: it has none.
        slow_start: how servers come to their share, None: at once.
        sections: the algorithm, where it has any.
        priorities: who goes first in the queue, None: who came first.
        concurrency: how limits follow from latency, None: they do not.
        subsets: of the servers, by label, None: there are none.
        others: as of :class:`Pool`.
    """

    guarded = True

    def __init__(
        self,
        *args: Any,
        limits: LimitSettings | None = None,
        trip: TripSettings | None = None,
        slow_start: SlowStartSettings | None = None,
        sections: Sections | None = None,
        subsets: Subsets | None = None,
        concurrency: ConcurrencySettings | None = None,
        priorities: PrioritySettings | None = None,
        **others: Any,
    ) -> None:
        self.limits = Limits(limits or LimitSettings())
        self.breaker = None if trip is None else Breaker(trip, self, others["clock"])
        self.sections = sections
        self.subsets = subsets
        self.concurrency = None if concurrency is None else Concurrency(concurrency, others["clock"].seconds)
        self.slow_start = None if slow_start is None else SlowStart(slow_start, self, others["clock"])
        super().__init__(*args, **others)
        self.retry.limit = self.limits.retries
        if priorities is not None:
            self.queue = PriorityQueue(priorities, self.queue.settings, others["clock"], self._next_in_line)
        self.queue.mixed = subsets is not None
        self._watching = self.outliers if self.outliers is not None and self.outliers.settings.watches_all else None

    def choose(self, facts: Facts, tried: Sequence[Server] = (), sticky_to: Server | None = None) -> Server | None:
        """Return the server for this request or session, or None."""
        if self._over(facts) is not None or (self.breaker is not None and self.breaker.bars is not None):
            self.all_full = False
            return None
        if self.concurrency is not None and self.concurrency.full(self.limits.requests.active):
            self.all_full = True
            return None
        subset = None if self.subsets is None else self.subsets.find(facts)[0]
        if subset is None:
            return self._choose(facts, tried, sticky_to)
        if not subset.members:
            self.all_full = False
            return None
        self._candidates = subset.algorithm.candidates
        try:
            return self._choose(facts, (*tried, *subset.others), sticky_to)
        finally:
            self._candidates = self.algorithm.candidates

    def _choose(self, facts: Facts, tried: Sequence[Server], sticky_to: Server | None) -> Server | None:
        if self.slow_start is not None and self.slow_start.starting:
            return self._choose_started(self.slow_start, facts, tried, sticky_to)
        return super().choose(facts, tried, sticky_to)

    def _choose_started(
        self, slow_start: SlowStart, facts: Facts, tried: Sequence[Server], sticky_to: Server | None
    ) -> Server | None:
        """Return what is chosen while servers start: those that a hashed key may not go to yet are as good as tried."""
        if sticky_to is None and self.sticky is not None:
            sticky_to = self.sticky.server_for(facts)
        key = self._key_of(facts) if self._key_of is not None else None
        chosen = found = super().choose(facts, tried, sticky_to)
        while found is not None and found is not sticky_to and slow_start.holds_back(found, key):
            tried = (*tried, found)
            found = super().choose(facts, tried, sticky_to)
        return found or chosen

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
            if self.concurrency is not None:
                self.concurrency.ended(server, self.limits.requests.active, seconds_to_first_byte, ok)
            self.limits.requests.add(-1)
            if self.breaker is not None:
                failed = not ok or (status >= 500 and self.breaker.settings.errors == "5xx")
                if status == 500 and self.breaker.settings.errors == "gateway":
                    failed = False  # it was retried, but that is what the server says
                self.breaker.ended(server, failed, seconds_to_first_byte)
            if self._watching is not None:
                self._watching.ended(server, not ok or status >= 500, seconds_to_first_byte)
            if self.subsets is not None and self._finished is not None:
                self.subsets.finished(server, seconds_to_first_byte, ok)
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

    def explain(self, facts: Facts, draw: Callable[[], float] | None = None) -> list[tuple[Server, bool, str]]:
        """Return every server in the order of preference; see :meth:`Pool.explain`."""
        subset, why = (None, "") if self.subsets is None else self.subsets.find(facts)
        found = explaining.explain(
            self, facts, draw or self.draw, self._now(), None if subset is None else subset.algorithm
        )
        if self.barred(facts):
            return found
        if subset is not None:
            not_in_it = f"not in the subset {subset.name}"
            found = [each if each[0] in subset.members else (each[0], False, not_in_it) for each in found]
        nobody = not any(usable for _, usable, _ in found)
        if nobody and isinstance(self.queue, PriorityQueue) and self.fate(facts, None) is None:
            wait = f"it waits with priority {self.queue.priority(facts)}, {self.queue.patience(facts):g} s at most"
            found = [
                (server, may, f"{text}; {wait}" if text.startswith("full") else text) for server, may, text in found
            ]
        if why:
            found = [(server, usable, f"{text}; {why}") for server, usable, text in found]
        if self.sections is not None:
            describe = (self.sections if subset is None or subset.algorithm is None else subset.algorithm).describe
            found = [(server, usable, f"{why}; {describe(server)}") for server, usable, why in found]
        slow_start = self.slow_start
        if slow_start is None or not slow_start.starting:
            return found
        key = self._key_of(facts) if self._key_of is not None else None
        known = None if self.sticky is None else self.sticky.server_for(facts, used=False)
        told: list[tuple[Server, bool, str]] = []
        held: list[tuple[Server, bool, str]] = []
        for server, usable, why in found:
            if usable and server is not known and slow_start.holds_back(server, key):
                held.append(
                    (server, usable, f"{why}; it starts, at {slow_start.share(server):.0%}, and this key comes later")
                )
            elif server in slow_start.starting:
                told.append((server, usable, f"{why}; it starts, at {slow_start.share(server):.0%} of its weight"))
            else:
                told.append((server, usable, why))
        return _behind(told, held) if any(usable for _, usable, _ in told) else held + told

    def barred(self, facts: Facts | None = None) -> str:
        """Return why nothing may begin, whatever the servers are like; empty if it may."""
        limit = self._over(facts)
        if limit is not None:
            return f"the pool is at its limit of {limit.most} {limit.name}"
        circuit = self.breaker.bars if self.breaker is not None else None
        if circuit is not None:
            return circuit.describe(self._now())
        if self.concurrency is not None and self.concurrency.full(self.limits.requests.active):
            return f"the pool is at its adaptive limit of {self.concurrency.whole.limit} requests"
        if self.subsets is None or facts is None:
            return ""
        subset, why = self.subsets.find(facts)
        return why if subset is not None and not subset.members else ""

    def fate(self, facts: Facts, server: Server | None, alone: bool = False) -> ExchangeError | None:
        """Return what one ends with for whom :meth:`explain` found ``server``; see :meth:`Pool.fate`."""
        limits = self.limits
        limit = self._over(facts)
        if limit is None and server is not None:
            limit = limits.blocks(server, alone, self.servers)
            return None if limit is None else self._error_of(limit)
        barred = self.breaker is not None and self.breaker.bars is not None
        if (
            limit is None
            and not barred
            and self.concurrency is not None
            and self.concurrency.full(limits.requests.active)
        ):
            ends = self.queue.fate(facts)
        elif limit is None:
            subset = None if self.subsets is None else self.subsets.find(facts)[0]
            members = self.servers if subset is None else subset.members
            ends = explaining.fate(self, facts, () if barred else members)
            if ends is not None and ends.reason is errors.DESTINATION_UNAVAILABLE:
                return ends
        if limit is None and limits.pending.full:
            limit = limits.pending
        return ends if limit is None else self._error_of(limit)

    def refusal(self, facts: Facts) -> ExchangeError:
        """Return what a request or session ends with that :meth:`choose` found no server for; counts it."""
        limit = self._over(facts)
        return super().refusal(facts) if limit is None else self._refused(limit)

    def _refused(self, limit: Limit) -> ExchangeError:
        limit.refused += 1
        return self._error_of(limit)

    def _error_of(self, limit: Limit) -> ExchangeError:
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
        if self.slow_start is not None:
            before = old.slow_start if isinstance(old, GuardedPool) else None
            self.slow_start.take_over(old.servers, {} if before is None else before.starting)
        if self.concurrency is not None and isinstance(old, GuardedPool) and old.concurrency is not None:
            self.concurrency.take_over(old.concurrency)
        if self.breaker is not None and isinstance(old, GuardedPool) and old.breaker is not None:
            self.breaker.take_over(old.breaker)

    def _own(self) -> None:
        self.limits.bind(self.servers)
        if self.concurrency is not None:
            self.concurrency.bind(self.servers)
        if self.subsets is not None:
            self.subsets.bind(self.servers)
        super()._own()

    def refresh(self) -> None:
        """Compute which servers are open, and how much of their weight they have."""
        if self.slow_start is not None:
            self.slow_start.look()
        super().refresh()
        if self.sections is not None:
            self.sections.weigh(self.servers)
        if self.subsets is not None:
            self.subsets.prepare()

    def stop(self) -> None:
        """End probes and look-ups, and let breakers be as they are."""
        super().stop()
        self.limits.release([server for server in self.servers if server.owner is self])
        if self.breaker is not None:
            self.breaker.stop()
        if self.slow_start is not None:
            self.slow_start.stop()


def _behind(
    told: list[tuple[Server, bool, str]], held: list[tuple[Server, bool, str]]
) -> list[tuple[Server, bool, str]]:
    """Put those that are held back behind the last that may be used."""
    last = max(at for at, (_, usable, _) in enumerate(told) if usable)
    return told[: last + 1] + held + told[last + 1 :]
