"""Tests of the algorithm."""

from __future__ import annotations

from collections import Counter

import balancer_least_response_time
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer import testing


def make(settings: object = None) -> testing.Any:
    return testing.make(balancer_least_response_time, "algorithms", "least_response_time", settings)


class LeastResponseTimeTests(SynchronousTestCase):
    def simulate(self, latencies: dict[str, float], failing: str = "", requests: int = 500) -> Counter[str]:
        """Serve requests 10 ms apart, one at a time, with these latencies; return how many each server got."""
        algorithm, servers = make(), testing.servers(**dict.fromkeys(latencies, 1))
        algorithm.prepare(servers)
        counts: Counter[str] = Counter()
        for turn in range(requests):
            first = next(iter(algorithm.candidates(testing.choice(now=turn / 100))))
            counts[first.name] += 1
            algorithm.finished(first, latencies[first.name], first.name != failing)
        return counts

    def test_fast_server_wins(self) -> None:
        """Nearly everything goes to the fastest."""
        counts = self.simulate({"slow": 0.5, "fast": 0.01, "middle": 0.1})
        self.assertGreater(counts["fast"], 450)
        self.assertGreater(counts["slow"], 0)

    def test_failing_fast(self) -> None:
        """A server that fails at once is not taken for a fast one."""
        self.assertLess(self.simulate({"broken": 0.001, "sound": 0.1}, failing="broken")["broken"], 50)

    def test_weights_and_load(self) -> None:
        """Twice the weight bears twice the exchanges in flight."""
        algorithm, servers = make(), testing.servers(a=1, b=2)
        algorithm.prepare(servers)
        for server in servers:
            algorithm.finished(server, 0.1, True)
        for _ in range(30):
            next(iter(algorithm.candidates(testing.choice()))).active += 1
        self.assertEqual([server.active for server in servers], [10, 20])

    def test_recovers(self) -> None:
        """A server that was slow is tried again after a while."""
        algorithm, servers = make({"half_life": "1s"}), testing.servers(a=1, b=1)
        algorithm.prepare(servers)
        algorithm.finished(servers[0], 5.0, True)
        algorithm.finished(servers[1], 0.1, True)
        self.assertEqual(next(iter(algorithm.candidates(testing.choice(now=0.1)))).name, "b")
        for turn in range(100):
            servers_now = list(algorithm.candidates(testing.choice(now=turn / 5)))
            if servers_now[0].name == "a":
                return
            algorithm.finished(servers[1], 0.1, True)
        self.fail("it was never tried again")

    @given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 10), st.booleans()), max_size=30))
    def test_all_are_named(self, outcomes: list[tuple[int, float, bool]]) -> None:
        """Whatever was learnt, every server is a candidate, once."""
        algorithm, servers = make(), testing.servers(a=1, b=2, c=3)
        algorithm.prepare(servers)
        for which, seconds, ok in outcomes:
            algorithm.finished(servers[which], seconds, ok)
        self.assertEqual(sorted(each.name for each in algorithm.candidates(testing.choice(now=1.0))), ["a", "b", "c"])
