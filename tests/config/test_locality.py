"""Tests for :mod:`balancer.config.locality`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.locality import Locality
from balancer.pools.sections import SectionSettings
from tests.config.samples import pool_problems


class LocalityTests(SynchronousTestCase):
    """Locality as written."""

    def test_defaults(self) -> None:
        """The defaults are those of the pools."""
        self.assertEqual(SectionSettings(Locality().overprovisioning, Locality().zone), SectionSettings())

    def test_problems(self) -> None:
        """A factor below 1, and a priority that is none, are refused."""
        self.assertTrue(pool_problems("locality: {overprovisioning: 0.5}"))
        self.assertTrue(pool_problems("servers: [{address: 'a:1', priority: -1}]"))
