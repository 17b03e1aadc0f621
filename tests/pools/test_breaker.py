"""Tests of the breakers of a pool."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from balancer.pools.algorithms.round_robin import RoundRobin
from balancer.pools.circuit import TripSettings
from balancer.pools.guarded import GuardedPool
from balancer.pools.pool import Pool
from tests.pools.pieces import Guarded, Watched, session


class BreakerTests(TestCase):
    """Of each server, or of the pool."""

    def watched(self, names: str = "ab", **settings: Any) -> Any:
        """A pool whose breakers open after four failures."""
        return Guarded(names, RoundRobin(), trip=TripSettings(**{"min_requests": 4, "probes": 2, **settings}))

    def test_server(self) -> None:
        """A server that fails is cut off, then tried, then trusted."""
        watched = self.watched()
        bad = watched.servers[0]
        watched.fail(bad, 4)
        self.assertEqual((bad.state, watched.chosen()), ("tripped", {"b"}))
        watched.clock.advance(5.0)
        self.assertEqual(watched.chosen(), {"a", "b"})
        watched.pool.begin(bad)
        watched.pool.begin(bad)
        self.assertEqual(watched.chosen(), {"b"})
        watched.pool.end(bad, 0.01, ok=True)
        watched.pool.end(bad, 0.01, ok=True)
        self.assertEqual((bad.state, watched.chosen()), ("up", {"a", "b"}))
        self.assertEqual(watched.kinds(), ["breaker_opened", "breaker_half_opened", "breaker_closed"])

    def test_never_in_panic(self) -> None:
        """A pool all of whose breakers are open refuses, panic or not, and says why."""
        watched = self.watched("a")
        watched.fail(watched.servers[0], 4)
        self.assertIsNone(watched.pool.choose(session()))
        self.assertEqual(watched.pool.refusal(session()).detail, "pool web: 1 tripped")
        self.assertEqual(
            [why for _, _, why in watched.pool.explain(session())], ["tripped by its breaker: 4 of 4 failed"]
        )

    def test_known_clients(self) -> None:
        """Those who stick to a server that is cut off go elsewhere."""
        watched = self.watched()
        watched.fail(watched.servers[0], 4)
        self.assertIs(watched.pool.choose(session(), (), watched.servers[0]), watched.servers[1])

    def test_statuses(self) -> None:
        """Any status from 500 counts, or only those of gateways."""
        for errors, state in (("5xx", "tripped"), ("gateway", "up")):
            watched = self.watched(errors=errors)
            for _ in range(4):
                watched.pool.begin(watched.servers[0])
                watched.pool.end(watched.servers[0], 0.01, True, False, 500)
            self.assertEqual(watched.servers[0].state, state)

    def test_pool(self) -> None:
        """The breaker of a pool counts all servers, and lets nothing pass to any."""
        watched = self.watched(of="pool")
        for one in watched.servers * 2:
            watched.fail(one)
        self.assertIsNone(watched.pool.choose(session()))
        self.assertFalse(watched.pool.all_full)
        why = "the breaker is open for another 5.0 s: 4 of 4 failed"
        self.assertEqual(watched.pool.refusal(session()).detail, why)
        self.assertEqual([each[1:] for each in watched.pool.explain(session())], [(False, why), (False, why)])
        watched.clock.advance(5.0)
        for one in watched.servers:
            self.assertIsNotNone(watched.pool.choose(session()))
            watched.pool.begin(one)
        self.assertIsNone(watched.pool.choose(session()))
        for one in watched.servers:
            watched.pool.end(one, 0.01, ok=True)
        self.assertIsNotNone(watched.pool.choose(session()))

    def test_trial_that_never_ends(self) -> None:
        """Half-open with trials that do not end, it gives out others."""
        watched = self.watched()
        bad = watched.servers[0]
        watched.fail(bad, 4)
        watched.clock.advance(5.0)
        watched.pool.begin(bad)
        watched.pool.begin(bad)
        self.assertEqual(watched.chosen(), {"b"})
        watched.clock.advance(5.0)
        self.assertEqual(watched.chosen(), {"a", "b"})

    def test_reload(self) -> None:
        """At a reload breakers stay as they are, under the new settings."""
        clock = Clock()
        before = Guarded("ab", RoundRobin(), clock=clock, trip=TripSettings(min_requests=4))
        before.fail(before.servers[0], 4)
        after = Guarded("ab", RoundRobin(), clock=clock, trip=TripSettings(min_requests=8))
        after.pool.adopt(before.pool)
        self.assertEqual(after.chosen(), {"b"})
        clock.advance(5.0)
        self.assertEqual(after.chosen(), {"a", "b"})
        self.assertEqual((before.kinds(), after.kinds()), (["breaker_opened"], ["breaker_half_opened"]))
        assert isinstance(after.pool, GuardedPool)
        assert after.pool.breaker is not None
        self.assertEqual(after.pool.breaker.trips, 1)

    def test_of_another_kind(self) -> None:
        """A reload that gives the pool a breaker in place of the servers' begins anew."""
        before = self.watched()
        before.fail(before.servers[0], 4)
        after = Guarded("ab", RoundRobin(), clock=before.clock, trip=TripSettings(of="pool"))
        after.pool.adopt(before.pool)
        self.assertEqual(after.chosen(), {"a", "b"})

    def test_restore(self) -> None:
        """A server is back at once, and nothing is left to come."""
        watched = self.watched()
        bad, good = watched.servers
        watched.fail(bad, 4)
        breaker = watched.pool.breaker
        self.assertFalse(breaker.restore(None, "by hand"))  # that is the breaker of a pool
        self.assertFalse(breaker.restore(good, "by hand"))
        self.assertTrue(breaker.restore(bad, "by hand"))
        self.assertEqual((bad.state, watched.chosen()), ("up", {"a", "b"}))
        self.assertEqual(str(watched.events[-1]), "server a of pool web is trusted by its breaker again: by hand")
        self.assertEqual(watched.clock.getDelayedCalls(), [])

    def test_restore_pool(self) -> None:
        """So is a pool; no single server has a breaker then."""
        watched = self.watched(of="pool")
        for one in watched.servers * 2:
            watched.fail(one)
        self.assertFalse(watched.pool.breaker.restore(watched.servers[0], "by hand"))
        self.assertTrue(watched.pool.breaker.restore(None, "by hand"))
        self.assertEqual(watched.chosen(), {"a", "b"})

    def test_switched_off(self) -> None:
        """Without breakers in the new configuration all servers are open."""
        before = self.watched()
        before.fail(before.servers[0], 4)
        after = Watched("ab", RoundRobin(), clock=before.clock)
        after.pool.adopt(before.pool)
        self.assertIs(type(after.pool), Pool)
        self.assertEqual(after.chosen(), {"a", "b"})
        self.assertEqual(before.clock.getDelayedCalls(), [])
