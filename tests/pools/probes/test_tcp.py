"""Tests of the tcp probe."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from balancer import errors
from balancer.errors import ExchangeError
from balancer.hooks.interfaces import IProbe
from balancer.pools.probes.tcp import TCPProbe
from tests.pools.pieces import server
from tests.pools.probes.talking import Talk


class TCPProbeTests(TestCase):
    """Connecting is all."""

    def test_contract(self) -> None:
        """It is a probe."""
        verifyObject(IProbe, TCPProbe())

    def test_well(self) -> None:
        """A server that accepts is well; the connection is closed at once, and nothing is sent."""
        talk = Talk(TCPProbe())
        self.assertEqual(self.successResultOf(talk.outcome), "connected")
        self.assertEqual((talk.sent(), talk.wire.closed), (b"", "aborted"))

    def test_unwell(self) -> None:
        """A server that does not accept is not; the reason is the attempt's."""
        refused = fail(ExchangeError(errors.CONNECTION_REFUSED))
        outcome = TCPProbe().probe(lambda protocol: refused, server("a"))
        self.assertIs(self.failureResultOf(outcome, ExchangeError).value.reason, errors.CONNECTION_REFUSED)

    def test_cancel(self) -> None:
        """When the time is up, the attempt to connect is given up."""
        given_up: list[object] = []
        outcome = TCPProbe().probe(lambda protocol: Deferred(given_up.append), server("a"))
        outcome.cancel()
        self.assertEqual(len(given_up), 1)
        self.failureResultOf(outcome)
