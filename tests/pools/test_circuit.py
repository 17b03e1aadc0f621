"""Tests of the decision of a circuit breaker."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from balancer.pools.circuit import Circuit, CircuitState, TripSettings


class CircuitTests(TestCase):
    """Outcomes and the time in, states out."""

    def circuit(self, **settings: Any) -> Circuit:
        """A breaker that needs four."""
        return Circuit(TripSettings(**{"min_requests": 4, "probes": 2, **settings}))

    def tripped(self, **settings: Any) -> Circuit:
        """One that is open since 0."""
        circuit = self.circuit(**settings)
        for _ in range(4):
            circuit.ended(0.0, True, -1.0)
        return circuit

    def test_error_ratio(self) -> None:
        """Half of at least four failed: it opens."""
        circuit = self.circuit()
        changes = [circuit.ended(0.0, failed, 0.01) for failed in (True, True, False, True)]
        self.assertEqual(changes, [False, False, False, True])
        self.assertEqual(circuit.describe(1.0), "the breaker is open for another 4.0 s: 3 of 4 failed")
        self.assertFalse(circuit.lets_pass)

    def test_few(self) -> None:
        """With fewer than that it stays closed, and so it does below the ratio."""
        circuit = self.circuit(error_ratio=0.5)
        for failed in (True, True, True):
            circuit.ended(0.0, failed, -1.0)
        self.assertIs(circuit.state, CircuitState.CLOSED)
        circuit = self.circuit(error_ratio=0.02)
        for number in range(1000):
            circuit.ended(number * 0.001, number % 100 == 0 and number > 0, 0.01)
        self.assertIs(circuit.state, CircuitState.CLOSED)

    def test_window(self) -> None:
        """What is older than the window counts no more."""
        circuit = self.circuit(window=10.0)
        for _ in range(3):
            circuit.ended(0.0, True, -1.0)
        for _ in range(4):
            circuit.ended(11.0, False, 0.01)
        circuit.ended(11.0, True, -1.0)
        self.assertIs(circuit.state, CircuitState.CLOSED)

    def test_slow(self) -> None:
        """Answers that are slow open it too."""
        circuit = self.circuit(slow=0.5, error_ratio=None)
        for seconds in (0.1, 0.6, 0.7, 0.1):
            circuit.ended(0.0, False, seconds)
        self.assertIs(circuit.state, CircuitState.CLOSED)
        circuit.ended(0.0, False, 0.6)
        self.assertEqual(circuit.reason, "3 of 5 took longer than 0.5 s")

    def test_clients_that_go(self) -> None:
        """What ended without an answer, and without a failure, says nothing."""
        circuit = self.circuit()
        for _ in range(3):
            circuit.ended(0.0, True, -1.0)
        for _ in range(10):
            circuit.ended(0.0, False, -1.0)
        self.assertIs(circuit.state, CircuitState.CLOSED)

    def test_half_open(self) -> None:
        """Time is up: a few may pass, and if they do well, all may."""
        circuit = self.tripped()
        circuit.time_is_up(5.0)
        self.assertEqual((circuit.state, circuit.lets_pass), (CircuitState.HALF_OPEN, True))
        self.assertEqual([circuit.began(), circuit.began(), circuit.lets_pass], [False, True, False])
        self.assertFalse(circuit.ended(5.0, False, 0.01))
        self.assertTrue(circuit.ended(5.0, False, 0.01))
        self.assertIs(circuit.state, CircuitState.CLOSED)

    def test_grows(self) -> None:
        """A trial that fails opens it for twice as long, up to the most; quiet windows take that back."""
        circuit = self.tripped(max_open=15.0)
        now, spans = 0.0, [circuit.until]
        for _ in range(3):
            now = circuit.until
            circuit.time_is_up(now)
            circuit.began()
            self.assertTrue(circuit.ended(now, True, -1.0))
            spans.append(circuit.until - now)
        self.assertEqual(spans, [5.0, 10.0, 15.0, 15.0])
        circuit.time_is_up(now)
        for _ in range(2):
            circuit.ended(now, False, 0.01)
        for _ in range(4):
            circuit.ended(now + 100.0, True, -1.0)
        self.assertEqual(circuit.until, now + 105.0)

    def test_restore(self) -> None:
        """By hand it closes at once, and is as one that has never opened."""
        circuit = self.tripped(open=5.0)
        self.assertTrue(circuit.restore(1.0))
        self.assertEqual((circuit.lets_pass, circuit.describe(1.0)), (True, "the breaker is closed"))
        for _ in range(3):
            circuit.ended(1.0, True, -1.0)
        self.assertFalse(circuit.restore(1.0))
        circuit.ended(1.0, True, -1.0)
        self.assertTrue(circuit.lets_pass)  # the three are forgotten
        for _ in range(3):
            circuit.ended(1.0, True, -1.0)
        self.assertEqual(circuit.until, 6.0)  # not twice as long
        circuit.time_is_up(6.0)
        circuit.began()
        self.assertTrue(circuit.restore(7.0))
        self.assertTrue(circuit.lets_pass)

    def test_report(self) -> None:
        """State, since when and for how long, counts of the window, how often it opened."""
        circuit = self.circuit()
        told = circuit.report(1.0)
        self.assertEqual((told["state"], told["since"], told["left"], told["trips"]), ("closed", None, None, 0))
        for failed in (True, True, False):
            circuit.ended(1.0, failed, 0.01)
        told = circuit.report(2.0)
        self.assertEqual((told["ended"], told["failed"], told["slow"]), (3, 2, 0))
        self.assertEqual(circuit.report(12.0)["ended"], 0)
        circuit.ended(2.0, True, 0.01)
        told = circuit.report(4.0)
        self.assertEqual((told["state"], told["since"], told["left"]), ("open", 2.0, 3.0))
        self.assertEqual((told["reason"], told["trips"], told["ended"]), ("3 of 4 failed", 1, 0))
        circuit.time_is_up(7.0)
        circuit.time_is_up(12.0)
        told = circuit.report(13.0)
        self.assertEqual((told["state"], told["since"], told["trials"]), ("half-open", 6.0, 2))

    def test_late_outcomes(self) -> None:
        """What began before it opened changes nothing while it is open."""
        circuit = self.tripped()
        self.assertFalse(circuit.ended(1.0, False, 0.01))
        self.assertIs(circuit.state, CircuitState.OPEN)

    def test_trial_without_outcome(self) -> None:
        """A trial whose client goes away is given to another; those that never end are given out again in time."""
        circuit = self.tripped(probes=1)
        circuit.time_is_up(5.0)
        circuit.began()
        self.assertTrue(circuit.ended(5.0, False, -1.0))
        self.assertTrue(circuit.lets_pass)
        circuit.began()
        circuit.time_is_up(circuit.until)
        self.assertTrue(circuit.lets_pass)
        self.assertEqual(circuit.describe(0.0), "the breaker is half-open, 1 of 1 trials left: 4 of 4 failed")

    @given(st.lists(st.tuples(st.sampled_from("bfst"), st.floats(0.0, 5.0)), max_size=200))
    def test_never_more_trials(self, steps: list[tuple[str, float]]) -> None:
        """Whatever happens, it lets no more pass than it has trials, and ``until`` is never in the past once it is not closed."""
        circuit, now = self.circuit(), 0.0
        for step, wait in steps:
            now += wait
            if circuit.state is not CircuitState.CLOSED and now >= circuit.until:
                now = circuit.until
                circuit.time_is_up(now)
            if step == "b":
                circuit.began()
            elif step == "t":
                circuit.ended(now, False, -1.0)
            else:
                circuit.ended(now, step == "f", 0.01)
            self.assertGreaterEqual(circuit.trials, 0)
            if circuit.state is CircuitState.OPEN:
                self.assertFalse(circuit.lets_pass)
                self.assertGreaterEqual(circuit.until, now)
