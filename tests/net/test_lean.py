"""Connections without look-ups: half-close is for protocols that provide it."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from balancer.net.lean import Lean


class _Told(Protocol):
    def __init__(self) -> None:
        self.told: list[str] = []

    def connectionLost(self, reason: Any = None) -> None:
        self.told.append("lost")


@implementer(IHalfCloseableProtocol)
class _HalfCloseable(_Told):
    fails = False

    def readConnectionLost(self) -> None:
        self.told.append("read")
        if self.fails:
            raise ValueError("on purpose")

    def writeConnectionLost(self) -> None:
        self.told.append("written")
        if self.fails:
            raise ValueError("on purpose")


class _Reactor(Clock):
    def removeReader(self, _reader: object) -> None:
        pass

    removeWriter = addReader = addWriter = removeReader


class LeanTests(SynchronousTestCase):
    def connection(self, protocol: _Told) -> Lean:
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        self.peer = theirs
        made = Lean(ours, protocol, _Reactor())  # type: ignore[arg-type]
        made.connected = True
        protocol.transport = made
        return made

    def test_ends_of_each_direction(self) -> None:
        """A protocol that knows half-close is told of each direction's end, and our FIN arrives."""
        protocol = _HalfCloseable()
        connection = self.connection(protocol)
        connection.readConnectionLost(Failure(ConnectionDone()))
        connection._closeWriteConnection()
        self.assertEqual(protocol.told, ["read", "written"])
        self.assertEqual(self.peer.recv(1), b"")

    def test_whoever_knows_none(self) -> None:
        """For a protocol that does not, the peer's FIN is the end of the connection."""
        protocol = _Told()
        self.connection(protocol).readConnectionLost(Failure(ConnectionDone()))
        self.assertEqual(protocol.told, ["lost"])

    def test_one_that_fails(self) -> None:
        """A protocol that raises loses its connection."""
        for end in ("readConnectionLost", "_closeWriteConnection"):
            protocol = _HalfCloseable()
            protocol.fails = True
            connection = self.connection(protocol)
            if end == "readConnectionLost":
                connection.readConnectionLost(Failure(ConnectionDone()))
            else:
                connection._closeWriteConnection()
            self.assertEqual(protocol.told[1:], ["lost"])
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_producers(self) -> None:
        """One producer at a time; another may follow."""
        connection = self.connection(_Told())
        one, two = object(), object()
        connection.registerProducer(one, True)
        self.assertRaises(RuntimeError, connection.registerProducer, two, True)
        connection.unregisterProducer()
        connection.registerProducer(two, True)
        self.assertIs(connection.producer, two)
