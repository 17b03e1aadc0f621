"""The clients of a UDP listener: sockets that rest between their flows, and reach nobody else."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from balancer.listeners.udp import UDPListener
from balancer.listeners.udp_clients import REST, Client, Resting
from balancer.model.address import Address
from balancer.net.datagram_socket import DatagramSocket
from balancer.net.datagrams import DatagramPort
from balancer.net.timers import Wheel
from balancer.net.watching import Watch
from tests.listeners.layer4 import Layer4TestCase, pool, until


def _never(*_: Any) -> None:
    raise AssertionError("nothing was to come")


class RestingTests(TestCase):
    """How long, and how many."""

    timeout = 10

    def setUp(self) -> None:
        self.clock = Clock()
        self.server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.server.close)
        self.server.bind(("127.0.0.1", 0))
        self.address = Address(*self.server.getsockname())
        self.watch = Watch(reactor)
        self.port = DatagramPort(self.watch, "127.0.0.1:0", _never)
        self.addCleanup(self.port.close)
        self.resting = Resting(Wheel(self.clock), most=2)
        self.addCleanup(self.resting.close)

    def client(self, number: int) -> tuple[Client, DatagramSocket]:
        """Return a client whose flow has left its socket."""
        path = self.port.path((("127.0.0.1", number), None, "127.0.0.1"))
        client = Client(path, self.port.address.port, lambda *what: DatagramSocket(self.watch, *what))
        left = client.connect(self.address, _never, _never)
        self.addCleanup(left.close)
        client.keep(left)
        self.resting.put(str(number).encode(), client)
        return client, left

    def test_taken_again(self) -> None:
        """A client that comes back has the socket that it left, once."""
        client, left = self.client(1)
        self.assertIs(self.resting.take(b"1"), client)
        self.assertIsNone(self.resting.take(b"1"))
        self.assertIs(client.connect(self.address, _never, _never), left)
        again = client.connect(self.address, _never, _never)
        self.addCleanup(again.close)
        self.assertIsNot(again, left)

    def test_another_server(self) -> None:
        """A socket that goes elsewhere is closed, and one to the server is made."""
        client, left = self.client(1)
        other = client.connect(Address("127.0.0.2", self.address.port), _never, _never)
        self.addCleanup(other.close)
        self.assertEqual(left.fileno(), -1)
        self.assertGreaterEqual(other.fileno(), 0)

    def test_not_for_long(self) -> None:
        """Sockets are closed when they have rested for a while, and no timer is left."""
        _, first = self.client(1)
        self.clock.pump([0.1] * int(REST / 0.1 - 1))
        _, second = self.client(2)
        self.assertGreaterEqual(first.fileno(), 0)
        self.clock.pump([0.1] * int(REST / 0.1 + 3))
        self.assertEqual(first.fileno(), -1)
        self.clock.pump([0.1] * int(2 * REST / 0.1))
        self.assertEqual((second.fileno(), len(self.resting)), (-1, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_not_many(self) -> None:
        """Past the limit the one that has rested longest is closed."""
        sockets = [self.client(number)[1] for number in range(3)]
        self.assertEqual([each.fileno() < 0 for each in sockets], [True, False, False])
        self.resting.close()
        self.assertEqual([each.fileno() for each in sockets], [-1, -1, -1])

    @inlineCallbacks
    def test_a_word_from_the_server(self) -> Any:
        """What comes while a socket rests is dropped, and closes it: its client gets another."""
        client, left = self.client(1)
        left.send_one(memoryview(b"hello"))
        self.server.settimeout(5)
        peer = self.server.recvfrom(9)[1]
        self.server.sendto(b"late", peer)
        yield until(lambda: left.fileno() < 0)
        self.assertIs(self.resting.take(b"1"), client)
        other = client.connect(self.address, _never, _never)
        self.addCleanup(other.close)
        self.assertIsNot(other, left)

    @inlineCallbacks
    def test_server_gone(self) -> Any:
        """The news that the server is gone closes a socket that rests."""
        _, left = self.client(1)
        self.server.close()
        left.send_one(memoryview(b"hello"))
        yield until(lambda: left.fileno() < 0)


class FlowTests(Layer4TestCase):
    """Through a listener."""

    def setUp(self) -> None:
        super().setUp()
        self.server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.server.bind(("127.0.0.1", 0))
        self.server.setblocking(False)
        self.addCleanup(self.server.close)

    def client(self, listener: UDPListener) -> socket.socket:
        skt = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        skt.connect(("127.0.0.1", Address.parse(listener.addresses[0]).port))
        skt.setblocking(False)
        self.addCleanup(skt.close)
        return skt

    @inlineCallbacks
    def came(self, skt: socket.socket) -> Any:
        """Return the next datagram of ``skt``, and who sent it."""
        found: list[Any] = []

        def look() -> bool:
            try:
                found.append(skt.recvfrom(100))
            except BlockingIOError:
                return False
            return True

        yield until(look)
        return found[0]

    @inlineCallbacks
    def ask(self, client: socket.socket, question: bytes, *answers: bytes) -> Any:
        """Ask, and answer as the server; return the balancer's socket to it, and the answer that came."""
        client.send(question)
        asked, whom = yield self.came(self.server)
        self.assertEqual(asked, question)
        for answer in answers:
            self.server.sendto(answer, whom)
        answer, _ = yield self.came(client)
        return whom, answer

    @inlineCallbacks
    def test_flow_after_flow(self) -> Any:
        """The flows of one client go over one socket, those of another over another; each is a flow of its own."""
        listener = self.udp(pool("{}:{}".format(*self.server.getsockname())), responses=1)
        one, two = self.client(listener), self.client(listener)
        ways = []
        for client in (one, two, one, two):
            way, answer = yield self.ask(client, b"q", b"a")
            self.assertEqual(answer, b"a")
            ways.append(way)
        self.assertEqual(ways[:2], ways[2:])
        self.assertNotEqual(*ways[:2])
        self.assertEqual((len(self.records), self.gate.active), (4, 0))

    @inlineCallbacks
    def test_one_answer_too_many(self) -> Any:
        """An answer that comes when the flow is over reaches nobody, and the next flow has another socket."""
        listener = self.udp(pool("{}:{}".format(*self.server.getsockname())), responses=1)
        one, two = self.client(listener), self.client(listener)
        way, answer = yield self.ask(one, b"q", b"a", b"late")
        self.assertEqual(answer, b"a")
        other, answer = yield self.ask(two, b"q", b"b")
        self.assertEqual(answer, b"b")
        third, answer = yield self.ask(one, b"q", b"c")
        self.assertEqual(answer, b"c")
        self.assertEqual(len({way, other, third}), 3)
        for client in (one, two):
            self.assertRaises(BlockingIOError, client.recv, 100)
