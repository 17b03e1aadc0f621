"""Tests for :mod:`balancer.tls.stand_in`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.tls.choice import Choice
from balancer.tls.server_contexts import ServerContexts, ServerSettings
from balancer.tls.stand_in import STAND_IN, stand_in


class StandInTests(SynchronousTestCase):
    """The certificate before the first."""

    def test_made(self) -> None:
        """It is for the names, and can be shown; no two are the same."""
        found = stand_in(["a.example", "*.b.example"])
        self.assertEqual((found.name, found.names, found.kind), (STAND_IN, ("a.example", "*.b.example"), "ecdsa"))
        ServerContexts(ServerSettings(), Choice([found]))
        self.assertNotEqual(found.key, stand_in(["a.example"]).key)
