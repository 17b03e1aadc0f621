"""The sockets of a listener: opened together, changed one by one."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from balancer.errors import BalancerError
from balancer.listeners.ports import Ports
from balancer.model.address import Address
from tests.net.peers import Recorders


class PortsTests(TestCase):
    """Ports by the text of their bind."""

    def setUp(self) -> None:
        self.ports = Ports(reactor, Recorders())
        self.addCleanup(self.ports.keep, ())

    @inlineCallbacks
    def test_opened_and_closed_one_by_one(self) -> Any:
        """What is open stays as it is when more is opened or something else closed."""
        self.ports.open(["127.0.0.1:0"])
        (first,) = self.ports.addresses
        self.ports.open(["127.0.0.1:0", "[::1]:0"])
        self.assertEqual((self.ports.addresses[0], len(self.ports)), (first, 2))
        yield self.ports.keep(["127.0.0.1:0", "10.0.0.1:1"])
        self.assertEqual(self.ports.addresses, (first,))
        yield self.ports.keep([])
        self.assertEqual(self.ports.addresses, ())

    @inlineCallbacks
    def test_all_or_none(self) -> Any:
        """If one cannot be opened none of that call is kept, what was open before is."""
        self.ports.open(["127.0.0.1:0"])
        before = self.ports.addresses
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with self.assertRaises(BalancerError):
                self.ports.open(["[::1]:0", f"127.0.0.1:{taken.getsockname()[1]}"])
        self.assertEqual(self.ports.addresses, before)
        yield self.ports.keep(())

    @inlineCallbacks
    def test_nobody_is_left_behind(self) -> Any:
        """Everybody who is in the queue when a port is closed is accepted, though some are refused."""
        served = _EverySecond()
        ports = Ports(reactor, served)
        ports.open(["127.0.0.1:0"])
        address = Address.parse(ports.addresses[0])
        clients = [socket.create_connection((address.host, address.port)) for _ in range(150)]
        yield ports.keep(())
        self.assertEqual(served.asked, 150)
        for client in clients:
            client.close()


class _EverySecond(Factory):
    """Refuses every second connection, and closes the others."""

    asked = 0

    def buildProtocol(self, addr: Any) -> Any:
        self.asked += 1
        return _Closing() if self.asked % 2 else None


class _Closing(Protocol):
    def connectionMade(self) -> None:
        self.transport.abortConnection()  # type: ignore[union-attr]
