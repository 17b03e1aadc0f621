"""Tests of the configuration of canaries."""

from __future__ import annotations

from twisted.trial import unittest

from balancer.config.canaries import Canary
from balancer.config.splits import Split
from balancer.service.splits import built_split
from tests.config.test_routes import route_problems


class CanaryTests(unittest.TestCase):
    """What may be written, and what is said of what may not."""

    def test_defaults(self) -> None:
        """A pool is enough."""
        canary = Canary.model_validate({"pool": "new"})
        self.assertEqual((canary.steps, canary.interval), ((1, 5, 25, 50, 100), 300.0))
        self.assertEqual((canary.abort.error_ratio, canary.abort.minimum), (0.02, 100))

    def test_everything_counts(self) -> None:
        """What is written is what decides."""
        abort = {
            "error_ratio": "5%",
            "latency": {"p95": "500ms", "p50": "50ms"},
            "relative": {"error_ratio": "1%", "p99": 1.5},
            "minimum": 7,
        }
        canary = {"pool": "b", "steps": [10, 100], "interval": "1m", "abort": abort}
        plan = built_split(Split.model_validate({"weights": {"a": 1, "b": 0}, "canary": canary}), "secret").plan
        assert plan is not None
        self.assertEqual((plan.pool, plan.steps, plan.interval, plan.minimum), ("b", (10, 100), 60.0, 7))
        self.assertEqual((plan.error_ratio, plan.latency), (0.05, ((0.5, 0.05), (0.95, 0.5))))
        self.assertEqual((plan.more_errors, plan.slower), (0.01, ((0.99, 1.5),)))

    def test_first_step(self) -> None:
        """A split with a canary begins with its first step, whatever the file's weights say."""
        split = built_split(Split.model_validate({"weights": {"a": 1, "b": 9}, "canary": {"pool": "b"}}), "secret")
        self.assertEqual((split.weights, split.note), ({"a": 99.0, "b": 1.0}, "canary at 1 %"))

    def problems(self, route: str) -> list[str]:
        """Return what is wrong with it, but for pools that are not there."""
        return [problem for problem in route_problems(route) if "there is no pool" not in problem]

    def test_refused(self) -> None:
        """Each at its place."""
        for canary, expected in (
            ("{pool: c}", "split: expected the canary's pool to be one of the split's, got 'c'"),
            (
                "{pool: other, steps: []}",
                "split.canary.steps: expected one or more percentages, each more than the one before",
            ),
            (
                "{pool: other, steps: [5, 5]}",
                "split.canary.steps: expected one or more percentages, each more than the one before",
            ),
            ("{pool: other, steps: [101]}", "split.canary.steps[0]: expected a value of 100 or less, got 101"),
            (
                "{pool: other, abort: {error_ratio: null}}",
                "split.canary: expected in 'abort' something to go by: error_ratio, latency or relative",
            ),
        ):
            with self.subTest(canary):
                route = f"{{split: {{weights: {{app: 1, other: 0}}, canary: {canary}}}}}"
                self.assertEqual(self.problems(route), [expected])
        alone = "{split: {weights: {app: 0, other: 1}, canary: {pool: other}}}"
        self.assertEqual(self.problems(alone), ["split: expected another pool than the canary's with a weight above 0"])
