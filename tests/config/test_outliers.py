"""Tests for :mod:`balancer.config.outliers`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.outliers import LatencyDeviation, Passive, SuccessRate
from balancer.pools.deviation import Deviation
from balancer.pools.outliers import KINDS
from balancer.pools.outliers import Passive as Living


class PassiveTests(SynchronousTestCase):
    """Passive detection as written."""

    def test_defaults(self) -> None:
        """The defaults are those of the pools: failures in a row, and nothing else."""
        for name, value in Passive():
            if name != "enforce":
                self.assertEqual(value, getattr(Living(), name), name)
        self.assertEqual(dict(Passive().enforce), dict.fromkeys(KINDS, 1.0))
        self.assertFalse(Living().watches_all)

    def test_switches(self) -> None:
        """``true`` takes the defaults of a comparison."""
        passive = Passive.model_validate({"success_rate": True, "latency": True, "enforce": {"latency": "0%"}})
        self.assertEqual((passive.success_rate, passive.latency), (SuccessRate(), LatencyDeviation()))
        self.assertEqual(Deviation(**dict(SuccessRate())), Deviation())
        self.assertEqual(passive.enforce.latency, 0.0)
