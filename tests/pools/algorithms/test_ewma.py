"""Tests of peak EWMA."""

from __future__ import annotations

from collections import Counter
from heapq import heappop, heappush
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IObservingAlgorithm
from balancer.pools.algorithms.ewma import Ewma, EwmaSettings
from tests.pools.pieces import draws, first, order, server, servers, shares


class EwmaTests(TestCase):
    """Of two drawn, the shorter wait."""

    def test_contract(self) -> None:
        """It is an algorithm that learns."""
        verifyObject(IObservingAlgorithm, Ewma())

    def setUp(self) -> None:
        self.algorithm = Ewma(EwmaSettings(decay="10s"))
        self.fast, self.slow = server("fast"), server("slow")
        self.algorithm.prepare([self.fast, self.slow])

    def test_faster_wins(self) -> None:
        """A server that answers faster is preferred."""
        self.algorithm.finished(self.fast, 0.01, True)
        self.algorithm.finished(self.slow, 0.05, True)
        self.assertEqual(shares(self.algorithm, 50, draw=draws()), {"fast": 50})

    def test_load_counts(self) -> None:
        """A fast server with much in flight loses to a slow one that is free."""
        self.algorithm.finished(self.fast, 0.01, True)
        self.algorithm.finished(self.slow, 0.05, True)
        self.fast.active = 5
        self.assertEqual(first(self.algorithm, draw=draws()), "slow")

    def test_load_counts_by_weight(self) -> None:
        """A server of weight 10 with nine in flight is less busy than one of weight 1 with one."""
        heavy = server("heavy", 10)
        self.algorithm.prepare([self.fast, heavy])
        for each in (self.fast, heavy):
            self.algorithm.finished(each, 0.01, True)
        self.fast.active, heavy.active = 1, 9
        self.assertEqual(first(self.algorithm, draw=iter([0.0, 0.5]).__next__), "heavy")

    def test_slow_and_heavy(self) -> None:
        """A weight does not bring traffic to a server that is slow."""
        heavy = server("heavy", 10)
        self.algorithm.prepare([self.fast, heavy])
        self.algorithm.finished(self.fast, 0.01, True)
        self.algorithm.finished(heavy, 0.05, True)
        self.assertEqual(shares(self.algorithm, 200, draw=draws()), {"fast": 200})

    def test_peak_counts_at_once(self) -> None:
        """One slow answer outweighs many fast ones."""
        for _ in range(100):
            self.algorithm.finished(self.fast, 0.01, True)
        self.algorithm.finished(self.slow, 0.05, True)
        self.algorithm.finished(self.fast, 0.5, True)
        self.assertEqual(first(self.algorithm, draw=draws()), "slow")

    def test_peak_fades(self) -> None:
        """A server that was slow once is tried again after a while, though nothing was heard of it."""
        self.algorithm.finished(self.slow, 0.5, True)
        for now in range(0, 61, 5):
            chosen = first(self.algorithm, draw=draws(), now=float(now))
            self.algorithm.finished(self.fast, 0.02, True)
            self.assertEqual(chosen, "fast" if now < 40 else "slow")

    def test_failures_do_not_attract(self) -> None:
        """A server that fails fast is not preferred for it."""
        self.algorithm.finished(self.slow, 0.05, True)
        self.algorithm.finished(self.fast, 0.001, False)
        self.assertEqual(first(self.algorithm, draw=draws()), "slow")

    def test_unmeasured(self) -> None:
        """An exchange that ended without an answer, by no fault of the server, teaches nothing."""
        self.algorithm.finished(self.fast, 0.01, True)
        self.algorithm.finished(self.slow, 0.05, True)
        self.algorithm.finished(self.slow, -1.0, True)
        self.assertEqual(first(self.algorithm, draw=draws()), "fast")

    def test_unknown_servers_one_request_at_a_time(self) -> None:
        """A new server is tried soon, but does not get everything before its first answer."""
        self.algorithm.finished(self.fast, 0.000_002, True)
        self.assertEqual(first(self.algorithm, draw=draws()), "slow")
        self.slow.active = 5
        self.assertEqual(first(self.algorithm, draw=draws()), "fast")

    def test_knowledge_survives_changes(self) -> None:
        """What is known of a server outlasts its absence."""
        self.algorithm.finished(self.slow, 0.05, True)
        self.algorithm.finished(self.fast, 0.01, True)
        self.algorithm.prepare([self.fast])
        self.algorithm.prepare([self.fast, self.slow])
        self.assertEqual(first(self.algorithm, draw=draws()), "fast")

    def test_latency_known_before(self) -> None:
        """A server's latency from before a reload is where learning begins."""
        fast, slow = server("f"), server("s")
        fast.latency, slow.latency = 0.01, 0.05
        algorithm = Ewma()
        algorithm.prepare([fast, slow])
        self.assertEqual(first(algorithm, draw=draws()), "f")

    def test_strangers(self) -> None:
        """The outcome of a server that it never had is ignored."""
        self.algorithm.finished(server("other"), 0.5, True)
        self.assertEqual(repr(self.algorithm), "<Ewma over 2>")

    def fair(self, found: Counter[str], weights: list[int], within: float) -> None:
        """Check that the shares are those of the weights, each ``within`` so much of all."""
        total, count = sum(weights), sum(found.values())
        for index, weight in enumerate(weights):
            self.assertLess(abs(found[f"s{index}"] / count - weight / total), within, (found, weights))

    @settings(max_examples=20)
    @given(st.lists(st.integers(1, 10), min_size=2, max_size=6), st.sampled_from([0.0, 0.01]), st.integers(0, 2**32))
    def test_shares_of_idle_servers(self, weights: list[int], latency: float, seed: int) -> None:
        """Servers that are equally fast, or not known yet, have shares like their weights."""
        algorithm = Ewma()
        members = servers(weights)
        algorithm.prepare(members)
        for each in members:
            if latency:
                algorithm.finished(each, latency, True)
        self.fair(shares(algorithm, 2000, draw=draws(seed)), weights, 0.06)

    @settings(max_examples=10, deadline=None)
    @given(
        st.lists(st.integers(1, 10), min_size=2, max_size=5),
        st.integers(1, 100),
        st.sampled_from([1, 20, 60]),
        st.integers(0, 2**32),
    )
    def test_shares_of_busy_servers(self, weights: list[int], scale: int, in_flight: int, seed: int) -> None:
        """Shares hold when answers take a little longer or shorter by chance, one at a time or many, on any scale."""
        algorithm = Ewma()
        members = servers([weight * scale for weight in weights])
        algorithm.prepare(members)
        by_name = {each.name: each for each in members}
        chance = Random(seed)
        under_way: list[tuple[float, float, str]] = []
        found: Counter[str] = Counter()
        now = 0.0
        for number in range(3000):
            if number >= in_flight:
                now, took, name = heappop(under_way)
                by_name[name].active -= 1
                algorithm.finished(by_name[name], took, True)
            name = first(algorithm, draw=chance.random, now=now)
            by_name[name].active += 1
            found[name] += 1
            took = 0.010 * chance.uniform(0.9, 1.1)
            heappush(under_way, (now + took, took, name))
        self.fair(found, weights, 0.12)

    @given(st.lists(st.integers(0, 5), max_size=8), st.integers(0, 2**32))
    def test_each_once(self, weights: list[int], seed: int) -> None:
        """Every server with a weight is a candidate, exactly once."""
        algorithm = Ewma()
        algorithm.prepare(servers(weights))
        expected = [f"s{index}" for index, weight in enumerate(weights) if weight]
        self.assertCountEqual(order(algorithm, draw=draws(seed)), expected)
