"""Tests of peak EWMA."""

from __future__ import annotations

from hypothesis import given
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

    def test_weight_counts(self) -> None:
        """A server of weight 10 may be five times as slow."""
        heavy = server("heavy", 10)
        self.algorithm.prepare([self.fast, heavy])
        self.algorithm.finished(self.fast, 0.01, True)
        self.algorithm.finished(heavy, 0.05, True)
        self.assertEqual(first(self.algorithm, draw=draws()), "heavy")

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

    @given(st.lists(st.integers(0, 5), max_size=8), st.integers(0, 2**32))
    def test_each_once(self, weights: list[int], seed: int) -> None:
        """Every server with a weight is a candidate, exactly once."""
        algorithm = Ewma()
        algorithm.prepare(servers(weights))
        expected = [f"s{index}" for index, weight in enumerate(weights) if weight]
        self.assertCountEqual(order(algorithm, draw=draws(seed)), expected)
