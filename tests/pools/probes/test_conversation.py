"""Tests of what talking probes share."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from balancer.pools.probes.conversation import Conversation, ProbeError, converse
from tests.pools.probes.talking import Wire


class ConversationTests(TestCase):
    """How a talk ends."""

    def setUp(self) -> None:
        self.wire = Wire()
        self.talk = Conversation()
        self.connected: Deferred[Conversation] = Deferred()
        self.outcome = converse(lambda protocol: self.connected, self.talk)

    def connect(self) -> None:
        """Let the attempt to connect succeed."""
        self.talk.makeConnection(self.wire)
        self.connected.callback(self.talk)

    def test_success(self) -> None:
        """It ends well once, and the connection is closed after what was written."""
        self.connect()
        self.talk.succeeded("fine")
        self.talk.failed("not so fine")
        self.assertEqual(self.successResultOf(self.outcome), "fine")
        self.assertEqual(self.wire.closed, "closed")

    def test_failure(self) -> None:
        """It ends badly, and the connection is cut."""
        self.connect()
        self.talk.failed("not so fine")
        self.talk.succeeded("fine")
        self.assertEqual(str(self.failureResultOf(self.outcome, ProbeError).value), "not so fine")
        self.assertEqual(self.wire.closed, "aborted")

    def test_closed_by_the_server(self) -> None:
        """A server that hangs up in the middle is not well."""
        self.connect()
        self.talk.connectionLost()
        self.assertEqual(str(self.failureResultOf(self.outcome, ProbeError).value), "the connection was closed")

    def test_cancelled_while_talking(self) -> None:
        """When the time is up the connection is cut."""
        self.connect()
        self.outcome.cancel()
        self.failureResultOf(self.outcome, CancelledError)
        self.assertEqual(self.wire.closed, "aborted")

    def test_cancelled_while_connecting(self) -> None:
        """When the time is up before there is a connection, the attempt is given up."""
        self.outcome.cancel()
        self.failureResultOf(self.outcome, CancelledError)
        self.assertTrue(self.connected.called)
