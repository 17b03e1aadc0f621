"""Tests of a pool with policies."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from balancer import errors
from balancer.errors import ExchangeError
from balancer.pools.limits import LimitSettings
from balancer.pools.queue import QueueSettings
from tests.pools.pieces import Guarded, Watched, request, server, session


class GuardedPoolTests(TestCase):
    """What is over a limit is refused."""

    def watched(self, names: Any = "ab", **settings: Any) -> Watched:
        """A pool with these limits."""
        return Guarded(names, limits=LimitSettings(**settings))

    def test_requests(self) -> None:
        """One too many is refused at once, by name, and counted; explain says so too."""
        watched = self.watched(requests=1)
        chosen = watched.pool.choose(request())
        assert chosen is not None
        watched.pool.begin(chosen)
        self.assertIsNone(watched.pool.choose(request()))
        self.assertFalse(watched.pool.all_full)
        refusal = watched.pool.refusal(request())
        self.assertIs(refusal.reason, errors.POOL_LIMIT_REACHED)
        self.assertEqual(refusal.detail, "pool web is at its limit of 1 requests")
        self.assertEqual(watched.pool.limits.requests.refused, 1)
        self.assertEqual(
            {why for _, _, why in watched.pool.explain(request())}, {"the pool is at its limit of 1 requests"}
        )
        watched.pool.end(chosen, 0.01, ok=True)
        self.assertIsNotNone(watched.pool.choose(request()))

    def test_pending_includes_the_queue(self) -> None:
        """Who waits for a server with room is pending, until that is over."""
        watched = Guarded(
            [server("a", max_connections=1)], limits=LimitSettings(pending=1), queue=QueueSettings(10, 5.0)
        )
        one = watched.servers[0]
        watched.pool.begin(one)
        got: list[Any] = []
        watched.pool.wait(session()).addCallback(got.append)
        refused = self.failureResultOf(watched.pool.wait(session()), ExchangeError).value
        self.assertIs(refused.reason, errors.POOL_LIMIT_REACHED)
        watched.pool.end(one, 0.01, ok=True)
        self.assertEqual(got, [one])
        self.assertEqual(watched.pool.limits.pending.active, 0)

    def test_connecting(self) -> None:
        """Connections are asked for, and may be refused."""
        watched = self.watched(pending=1)
        wait = watched.pool.connects(watched.servers[0])
        self.assertRaises(ExchangeError, watched.pool.connects, watched.servers[0])
        self.assertRaises(ExchangeError, watched.pool.session_connects, False)
        assert wait is not None
        wait.over()
        self.assertIsNotNone(watched.pool.session_connects(False))

    def test_retries(self) -> None:
        """With so many retries in flight there are no others."""
        watched = self.watched(retries=1)
        allow = watched.pool.retry.allow
        self.assertTrue(allow("GET", errors.CONNECTION_REFUSED, 1))
        watched.pool.limits.retries.add(1)
        self.assertFalse(allow("GET", errors.CONNECTION_REFUSED, 1))
        self.assertEqual(watched.pool.limits.retries.refused, 1)

    def test_reloads(self) -> None:
        """What began under one configuration ends under another, be it with or without limits."""
        clock = Clock()
        plain, limited = Watched("a", clock=clock), Guarded("a", clock=clock, limits=LimitSettings(requests=1))
        one = plain.servers[0]
        plain.pool.begin(one)
        limited.pool.adopt(plain.pool)
        self.assertIsNone(limited.pool.choose(request()))
        again = Guarded("a", clock=clock, limits=LimitSettings(requests=2))
        again.pool.adopt(limited.pool)
        self.assertIs(again.pool.choose(request()), one)
        plain.pool.end(one, 0.01, ok=True)
        self.assertEqual(again.pool.limits.requests.active, 0)
        last = Watched("a", clock=clock)
        again.pool.begin(one)
        last.pool.adopt(again.pool)
        again.pool.end(one, 0.01, ok=True)
        self.assertEqual(one.active, 0)
