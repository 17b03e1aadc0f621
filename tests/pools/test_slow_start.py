"""Tests of slow start."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from balancer.model.keys import Key
from balancer.pools.algorithms.builtins import balancer_algorithms
from balancer.pools.algorithms.maglev import Maglev, MaglevSettings
from balancer.pools.algorithms.round_robin import RoundRobin
from balancer.pools.slow_start import SlowStartSettings, share_after
from balancer.pools.sticky import StickyTable
from tests.pools.pieces import Guarded, Watched, draws, server, session

FACTORIES = {factory.name: factory for factory in balancer_algorithms()}


class CurveTests(TestCase):
    """How the share grows."""

    def test_line(self) -> None:
        """By default along a straight line, from the least on."""
        self.assertEqual(
            [share_after(t, SlowStartSettings()) for t in (0.0, 3.0, 15.0, 30.0, 99.0)], [0.1, 0.1, 0.5, 1.0, 1.0]
        )

    def test_bent(self) -> None:
        """More aggression is steep at first, less is flat."""
        at = [share_after(15.0, SlowStartSettings(aggression=each)) for each in (0.5, 1.0, 2.0)]
        self.assertEqual([round(each, 2) for each in at], [0.25, 0.5, 0.71])

    @given(st.floats(0.01, 100.0), st.floats(0.0, 1.0), st.floats(0.0, 60.0), st.floats(0.0, 60.0))
    def test_grows(self, aggression: float, minimum: float, one: float, two: float) -> None:
        """It never shrinks, and is never below the least or above all."""
        settings = SlowStartSettings(30.0, minimum, aggression)
        early, late = sorted((one, two))
        self.assertLessEqual(minimum, share_after(early, settings))
        self.assertLessEqual(share_after(early, settings), share_after(late, settings))
        self.assertLessEqual(share_after(late, settings), 1.0)


class SlowStartTests(TestCase):
    """In a pool."""

    def watched(self, names: Any = "ab", algorithm: Any = None, **options: Any) -> Watched:
        """A pool whose servers take ten seconds."""
        return Guarded(names, algorithm or RoundRobin(), slow_start=SlowStartSettings(10.0), **options)

    def test_enabled(self) -> None:
        """A server that was disabled starts anew."""
        watched = self.watched()
        watched.servers[0].disable()
        watched.servers[0].enable()
        self.assertEqual(watched.pool.slow_start.share(watched.servers[0]), 0.1)
        watched.pool.stop()

    def back(self, watched: Watched, index: int = 0) -> None:
        """Let a server go down and come up."""
        one = watched.servers[index]
        for healthy in (False, True):
            one.healthy = healthy
            watched.pool.refresh()

    def shares(self, watched: Watched, count: int = 1100) -> Counter[str]:
        """How often each is chosen, with nothing in flight."""
        return Counter(chosen.name for _ in range(count) if (chosen := watched.pool.choose(session())) is not None)

    def near(self, value: float, wanted: float, by: float) -> None:
        """Fails unless the two differ by no more than that."""
        self.assertLessEqual(abs(value - wanted), by, (value, wanted))

    def test_at_the_start(self) -> None:
        """When all begin together nobody is held back, and nothing is scheduled."""
        watched = self.watched()
        self.assertEqual(self.shares(watched, 100), {"a": 50, "b": 50})
        self.assertEqual(watched.clock.getDelayedCalls(), [])

    def test_comes_back(self) -> None:
        """One that comes back gets a tenth, then more, then all."""
        watched = self.watched()
        self.back(watched)
        self.near(self.shares(watched)["a"], 100, 2)
        watched.clock.pump([0.2] * 25)
        self.near(self.shares(watched)["a"], 1100 / 3, 12)
        watched.clock.pump([0.2] * 26)
        self.near(self.shares(watched)["a"], 550, 2)
        self.assertEqual(watched.clock.getDelayedCalls(), [])

    def test_every_algorithm(self) -> None:
        """Every algorithm gives a server that starts about its part, idle or busy."""
        for name, factory in FACTORIES.items():
            algorithm = factory.build(factory.settings())
            if algorithm.stable:
                continue
            for busy in (0, 20):
                watched = self.watched("abcd", algorithm, draw=draws())
                self.back(watched)
                flights = []
                counts: Counter[str] = Counter()
                for _ in range(2000):
                    chosen = watched.pool.choose(session())
                    assert chosen is not None
                    watched.pool.begin(chosen)
                    counts[chosen.name] += 1
                    flights.append(chosen)
                    if len(flights) > busy:
                        watched.pool.end(flights.pop(0), 0.01, ok=True)
                # a tenth of a quarter; those that go by what is in flight cannot give less than one at a time
                self.assertLess(counts["a"], 2000 * 0.12, (name, busy))
                self.assertGreater(counts["a"], 0, (name, busy))
                watched.pool.stop()

    def test_hashing(self) -> None:
        """Keys move to a server that starts one after another, once, and no other key moves."""
        watched = self.watched("abcd", Maglev(MaglevSettings(table_size=503)))
        clients = [session(f"10.0.{number >> 8}.{number & 255}") for number in range(1000)]

        def owners() -> list[str]:
            return [chosen.name for each in clients if (chosen := watched.pool.choose(each)) is not None]

        before = owners()
        self.back(watched)
        moved: set[int] = set()
        for share in (0.1, 0.5, 1.0):
            now = owners()
            here = {at for at, name in enumerate(now) if name == "a"}
            self.assertLessEqual(moved, here)
            self.near(len(here), before.count("a") * share, 45)
            self.assertEqual([(was, is_) for was, is_ in zip(before, now, strict=True) if was not in ("a", is_)], [])
            moved = here
            watched.clock.pump([0.2] * 25)
        self.assertEqual(owners(), before)

    def test_explained(self) -> None:
        """The first that is explained is the one chosen, and that a server starts is told."""
        for algorithm in (RoundRobin(), Maglev(MaglevSettings(table_size=503))):
            watched = self.watched("abc", algorithm)
            self.back(watched)
            held = 0
            for number in range(60):
                facts = session(f"10.1.0.{number}")
                told = watched.pool.explain(facts)
                usable = [one for one, may, _ in told if may]
                if algorithm.stable:
                    self.assertIs(watched.pool.choose(facts), usable[0])
                self.assertEqual(len(usable), 3)
                held += any("comes later" in why for _, _, why in told)
            why_of = {one.name: why for one, _, why in told}
            self.assertTrue(held if algorithm.stable else "it starts, at 10% of its weight" in why_of["a"])

    def test_the_last_one(self) -> None:
        """Where nobody else can, a server that starts takes every key."""
        watched = self.watched("ab", Maglev(MaglevSettings(table_size=503)))
        self.back(watched)
        watched.servers[1].drain()
        self.assertEqual(watched.chosen(), {"a"})

    def test_known_clients(self) -> None:
        """Clients that stick to a server that starts stay."""
        clock = Clock()
        watched = self.watched(
            "ab",
            Maglev(MaglevSettings(table_size=503)),
            clock=clock,
            sticky=StickyTable(Key("client_ip"), clock.seconds),
        )
        mine = watched.pool.choose(session())
        assert mine is not None
        self.back(watched, watched.servers.index(mine))
        self.assertIs(watched.pool.choose(session()), mine)

    def test_weights(self) -> None:
        """Weights are kept, and those set by hand are in force at once."""
        watched = self.watched([server("a", 3), server("b", 1), server("z", 0)])
        self.back(watched)
        self.near(self.shares(watched, 1300)["a"], 300, 3)
        watched.pool.set_weight(watched.servers[0], 1)
        self.near(self.shares(watched)["a"], 100, 2)
        self.assertEqual([one.full_weight for one in watched.servers], [1, 1, 0])

    def test_reload(self) -> None:
        """At a reload new servers start, those that were starting go on, and without slow start all have their weight."""
        before = self.watched("ab")
        self.back(before)
        after = self.watched("abc", clock=before.clock)
        after.pool.adopt(before.pool)
        shares = {one.name: after.pool.slow_start.share(one) for one in after.pool.servers}
        self.assertEqual(shares, {"a": 0.1, "b": 1.0, "c": 0.1})
        last = Watched("abc", RoundRobin(), clock=before.clock)
        last.pool.adopt(after.pool)
        self.assertEqual([one.weight for one in last.pool.servers], [1, 1, 1])
        self.assertEqual(before.clock.getDelayedCalls(), [])
