"""Datagram sockets: where a datagram came from, and that the reply leaves from there."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from balancer import errors
from balancer.errors import BalancerError, ExchangeError
from balancer.model.address import Address
from balancer.net.datagrams import READS_PER_WAKEUP, DatagramPort, DatagramSocket, Origin


class PortTests(TestCase):
    """Bound sockets."""

    timeout = 10

    def setUp(self) -> None:
        self.got: list[tuple[bytes, Origin, str]] = []
        self.awaited: tuple[int, Deferred[None]] | None = None

    def received(self, data: bytes, origin: Origin, local: str) -> None:
        self.got.append((data, origin, local))
        if self.awaited is not None and len(self.got) >= self.awaited[0]:
            awaited, self.awaited = self.awaited[1], None
            awaited.callback(None)

    def until(self, count: int) -> Deferred[None]:
        self.awaited = (count, Deferred())
        return self.awaited[1]

    def open(self, bind: str) -> DatagramPort:
        port = DatagramPort(reactor, bind, self.received)
        self.addCleanup(port.close)
        return port

    def client(self, host: str, port: int) -> socket.socket:
        """A connected socket, which takes replies from that address only."""
        skt = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        skt.connect((host, port))
        skt.settimeout(2)
        self.addCleanup(skt.close)
        return skt

    @inlineCallbacks
    def test_replies_leave_from_where_they_were_asked(self) -> Any:
        """On one address or on all, IPv4 or IPv6, the reply comes from the address that the client wrote to."""
        for bind, host in (
            ("127.0.0.1:0", "127.0.0.1"),
            ("[::1]:0", "::1"),
            ("0.0.0.0:0", "127.0.0.1"),
            ("0.0.0.0:0", "127.0.0.77"),
            ("[::]:0", "::1"),
            ("*:0", "127.0.0.78"),
            ("*:0", "::1"),
        ):
            self.got.clear()
            port = self.open(bind)
            client = self.client(host, port.address.port)
            client.send(b"ping")
            yield self.until(1)
            data, origin, local = self.got[0]
            self.assertEqual((data, local), (b"ping", host))
            port.reply(b"pong", origin)
            self.assertEqual(client.recv(100), b"pong", bind)

    @inlineCallbacks
    def test_origin_is_the_key_of_a_flow(self) -> Any:
        """The same client to the same address has equal origins; another address of ours, or client, another."""
        port = self.open("0.0.0.0:0")
        client = self.client("127.0.0.1", port.address.port)
        client.send(b"1")
        client.send(b"2")
        self.client("127.0.0.1", port.address.port).send(b"3")
        yield self.until(3)
        first, second, third = (origin for _, origin, _ in self.got)
        self.assertEqual(first, second)
        self.assertNotEqual(first, third)
        self.assertEqual(len({first, second, third}), 2)

    @inlineCallbacks
    def test_many_at_once_and_empty_ones(self) -> Any:
        """More datagrams than are read at a time all arrive, in order; an empty one is a datagram."""
        port = self.open("127.0.0.1:0")
        client = self.client("127.0.0.1", port.address.port)
        count = READS_PER_WAKEUP * 2 + 3
        for number in range(count):
            client.send(b"" if number == 5 else b"%d" % number)
        yield self.until(count)
        self.assertEqual([data for data, _, _ in self.got][:7], [b"0", b"1", b"2", b"3", b"4", b"", b"6"])
        self.assertEqual(len(self.got), count)

    @inlineCallbacks
    def test_largest(self) -> Any:
        """The largest datagram there is passes both ways; one that is too large is dropped and counted."""
        port = self.open("127.0.0.1:0")
        client = self.client("127.0.0.1", port.address.port)
        client.send(b"x" * 65507)
        yield self.until(1)
        data, origin, _ = self.got[0]
        port.reply(data, origin)
        self.assertEqual(len(client.recv(65535)), 65507)
        port.reply(b"x" * 65508, origin)
        self.assertEqual(port.dropped, 1)
        port.close()
        port.close()
        port.reply(b"x", origin)

    def test_refusals(self) -> None:
        """What cannot be bound says why."""
        port = self.open("127.0.0.1:0")
        for bind, why in (
            (str(port.address), "the address is in use by another program"),
            ("192.0.2.1:53", "this machine does not have that address"),
            ("unix:/run/x", "UDP takes host:port"),
            ("systemd:domain=INET:index=0", "UDP takes host:port"),
            ("127.0.0.1:99999", "expected a port from 0 to 65535"),
        ):
            with self.assertRaisesRegex(BalancerError, f"^cannot listen on .*{why}"):
                self.open(bind)
        with self.assertRaisesRegex(BalancerError, "the reactor Clock watches no descriptors"):
            DatagramPort(Clock(), "127.0.0.1:0", self.received)


class SocketTests(TestCase):
    """Connected sockets."""

    timeout = 10

    def open(self, address: Address) -> tuple[DatagramSocket, Deferred[bytes], Deferred[ExchangeError]]:
        came: Deferred[bytes] = Deferred()
        refused: Deferred[Any] = Deferred()
        link = DatagramSocket(reactor, address, came.callback, lambda error: refused.callback([error]))
        self.addCleanup(link.close)
        return link, came, refused

    @inlineCallbacks
    def test_there_and_back(self) -> Any:
        """What is sent arrives, and what the server sends comes back."""
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            server = socket.socket(family, socket.SOCK_DGRAM)
            self.addCleanup(server.close)
            server.bind((host, 0))
            server.settimeout(2)
            link, came, _ = self.open(Address(host, server.getsockname()[1]))
            link.send(b"ping")
            data, client = server.recvfrom(100)
            server.sendto(data[::-1], client)
            reply = yield came
            self.assertEqual(reply, b"gnip")

    @inlineCallbacks
    def test_unreachable(self) -> Any:
        """A port without a server is reported as refused (by ICMP)."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            gone.bind(("127.0.0.1", 0))
            address = Address(*gone.getsockname())
        link, _, refused = self.open(address)
        link.send(b"ping")
        (error,) = yield refused
        self.assertIs(error.reason, errors.CONNECTION_REFUSED)

    @inlineCallbacks
    def test_unreachable_at_the_next_send(self) -> Any:
        """The news may come with the next datagram sent."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            gone.bind(("127.0.0.1", 0))
            address = Address(*gone.getsockname())
        link, _, refused = self.open(address)
        link.send(b"one")
        link.send(b"two")
        self.assertTrue(refused.called)
        yield refused

    def test_too_long_is_dropped(self) -> None:
        """A datagram that no network takes is counted, and is nobody's fault."""
        link, _, refused = self.open(Address("127.0.0.1", 9))
        link.send(b"x" * 65508)
        self.assertEqual((link.dropped, refused.called), (1, False))

    def test_unix_sockets_are_none_of_its_business(self) -> None:
        """A server at a unix socket cannot be reached by UDP."""
        with self.assertRaises(ExchangeError) as refused:
            self.open(Address("", 0, "/run/x"))
        self.assertIs(refused.exception.reason, errors.PROXY_INTERNAL_ERROR)
