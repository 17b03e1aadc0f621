"""Tests for :mod:`balancer.net.first_words`."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from balancer.net.first_words import FirstWords


class Recorder(Protocol):
    def __init__(self) -> None:
        self.heard: list[object] = []

    def connectionMade(self) -> None:
        self.heard.append(self.transport.value())

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data)

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:
        self.heard.append(reason.type)


class FirstWordsTests(SynchronousTestCase):
    def test_before_everything(self) -> None:
        """What is to be first is written before the protocol hears of its connection, which is its own from then on."""
        above, transport = Recorder(), StringTransport()
        words = FirstWords(b"first", above)
        words.makeConnection(transport)
        self.assertIs(transport.protocol, above)
        words.dataReceived(b"data")  # of a transport that remembers who it was made for
        words.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(above.heard, [b"first", b"data", ConnectionDone])
