"""Tests of limits that follow from latency."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from balancer.pools.concurrency import ConcurrencySettings, Gradient
from balancer.pools.limits import LimitSettings
from balancer.pools.queue import QueueSettings
from tests.pools.pieces import Guarded, Watched, request, server


def crowd(
    gradient: Gradient, capacity: int, windows: int, offered: int = 10_000, start: float = 0.0, pace: float = 0.01
) -> None:
    """Let ``windows`` pass with a server that does ``capacity`` at a time in ``pace`` seconds, the rest wait there."""
    for window in range(windows):
        in_flight = min(offered, gradient.limit)
        for at in range(10):
            now = start + window * 1.2 + at * 0.12
            gradient.ended(now, in_flight, pace * max(1.0, in_flight / capacity), ok=True)


class GradientTests(TestCase):
    """Outcomes in, limits out."""

    def test_grows(self) -> None:
        """While nothing waits at the server it grows, up to the most."""
        gradient = Gradient(ConcurrencySettings(maximum=100))
        crowd(gradient, 1000, 30)
        self.assertGreater(gradient.limit, 30)
        crowd(gradient, 1000, 400, start=100.0)
        self.assertEqual(gradient.limit, 100)

    def test_settles(self) -> None:
        """Where a server can do so many at a time, it stays within a small multiple of that."""
        gradient = Gradient(ConcurrencySettings())
        crowd(gradient, 40, 60)
        self.assertTrue(25 <= gradient.limit <= 120, gradient.limit)

    def test_shrinks(self) -> None:
        """When the server becomes slow it shrinks soon, and grows again when it has recovered."""
        gradient = Gradient(ConcurrencySettings(initial=100))
        crowd(gradient, 1000, 20)
        before = gradient.limit
        crowd(gradient, 1000, 10, start=50.0, pace=0.2)
        self.assertLess(gradient.limit, before * 0.6)
        low = gradient.limit
        crowd(gradient, 1000, 60, start=100.0)
        self.assertGreater(gradient.limit, low * 1.5)

    def test_unused(self) -> None:
        """A limit that is not used does not grow."""
        gradient = Gradient(ConcurrencySettings())
        crowd(gradient, 1000, 50, offered=3)
        self.assertEqual(gradient.limit, 20)

    def test_no_answers(self) -> None:
        """Where answers fail to come it becomes less, down to the least."""
        gradient = Gradient(ConcurrencySettings())
        for second in range(60):
            gradient.ended(float(second), 20, -1.0, ok=False)
        self.assertEqual(gradient.limit, 5)

    def test_clients_that_go(self) -> None:
        """What clients gave up says nothing."""
        gradient = Gradient(ConcurrencySettings())
        for second in range(60):
            self.assertFalse(gradient.ended(float(second), 20, -1.0, ok=True))

    @given(st.lists(st.tuples(st.floats(-1.0, 60.0), st.booleans(), st.integers(1, 2000)), max_size=300))
    def test_bounds(self, outcomes: list[tuple[float, bool, int]]) -> None:
        """Whatever happens, the limit stays within its bounds."""
        gradient = Gradient(ConcurrencySettings())
        for at, (seconds, ok, in_flight) in enumerate(outcomes):
            gradient.ended(at * 0.3, in_flight, seconds, ok)
            self.assertTrue(5 <= gradient.limit <= 1000)


class PoolTests(TestCase):
    """In a pool."""

    def test_server(self) -> None:
        """What is over a server's limit goes to another, then waits; explain says why."""
        watched = Guarded("ab", concurrency=ConcurrencySettings(initial=1, minimum=1), queue=QueueSettings(10, 5.0))
        for one in watched.servers:
            watched.pool.begin(one)
        self.assertIsNone(watched.pool.choose(request()))
        self.assertTrue(watched.pool.all_full)
        self.assertEqual(
            {why for _, _, why in watched.pool.explain(request())}, {"full: 1 in flight, and its adaptive limit is 1"}
        )
        got: list[object] = []
        watched.pool.wait(request()).addCallback(got.append)
        watched.pool.end(watched.servers[1], 0.01, ok=True)
        self.assertEqual(got, [watched.servers[1]])

    def test_pool(self) -> None:
        """The limit of a pool is on all servers together; what is over it waits."""
        watched = Guarded(
            "ab", concurrency=ConcurrencySettings(of="pool", initial=2, minimum=1), limits=LimitSettings()
        )
        watched.pool.begin(watched.servers[0])
        watched.pool.begin(watched.servers[0])
        self.assertIsNone(watched.pool.choose(request()))
        self.assertTrue(watched.pool.all_full)
        self.assertEqual(watched.pool.barred(request()), "the pool is at its adaptive limit of 2 requests")
        watched.pool.end(watched.servers[0], 0.01, ok=True)
        self.assertIsNotNone(watched.pool.choose(request()))

    def test_most(self) -> None:
        """``max_connections`` holds beside it, the lower of both."""
        watched = Guarded([server("a", max_connections=3), server("b")], concurrency=ConcurrencySettings())
        self.assertEqual([one.limit for one in watched.servers], [3, 20])
        self.assertEqual([one.max_connections for one in watched.servers], [3, None])

    def test_learns(self) -> None:
        """Slow answers make the limit of that server less."""
        watched = Guarded("ab", concurrency=ConcurrencySettings())
        one = watched.servers[0]
        for window in range(40):
            one.active = 20
            for _ in range(11):
                watched.clock.advance(0.12)
                watched.pool.begin(one)
                watched.pool.end(one, 0.01 if window < 20 else 1.0, ok=True)
        one.active = 0
        self.assertLess(one.limit, 20)
        self.assertEqual(watched.servers[1].limit, 20)

    def test_reload(self) -> None:
        """A reload keeps what was learnt, within the new bounds; without adaptive limits there are none."""
        clock = Clock()
        before = Guarded("a", clock=clock, concurrency=ConcurrencySettings(initial=50))
        after = Guarded("a", clock=clock, concurrency=ConcurrencySettings(initial=5, maximum=40))
        after.pool.adopt(before.pool)
        self.assertEqual(after.pool.servers[0].limit, 40)
        last = Watched("a", clock=clock)
        last.pool.adopt(after.pool)
        self.assertIsNone(last.pool.servers[0].max_connections)
        self.assertFalse(last.pool.servers[0].full)
        self.assertEqual(last.pool.servers[0].limit, last.pool.servers[0].most)
