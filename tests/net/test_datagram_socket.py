"""Datagram sockets connected to a server: there and back, and what the kernel reports."""

from __future__ import annotations

import socket
import struct
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.trial.unittest import TestCase

from balancer import errors
from balancer.cli.free_ports import claim_port
from balancer.errors import ExchangeError
from balancer.model.address import Address
from balancer.net.datagram_socket import DatagramSocket
from balancer.net.slots import slots_of
from balancer.net.trains import UDP_SEGMENT, Batch
from balancer.net.watching import Watch


class SocketTests(TestCase):
    """Many datagrams at a time."""

    timeout = 10

    def watch(self) -> Watch:
        return Watch(reactor)

    def server(self, host: str = "127.0.0.1") -> socket.socket:
        server = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(server.close)
        server.bind((host, 0))
        server.settimeout(2)
        return server

    def collect(self, server: socket.socket, count: int) -> tuple[DatagramSocket, list[bytes], Deferred[None]]:
        """Return a socket to ``server``, what comes back, and when ``count`` datagrams have."""
        came: list[bytes] = []
        enough: Deferred[None] = Deferred()

        def received(batch: Batch) -> None:
            self.batches.append(len(batch))
            came.extend(each.last() for slot in batch for each in slot.datagrams())
            if len(came) >= count and not enough.called:
                enough.callback(None)

        self.batches: list[int] = []
        self.errors: list[ExchangeError] = []
        link = DatagramSocket(self.watch(), Address(*server.getsockname()[:2]), received, self.errors.append)
        self.addCleanup(link.close)
        link.send(slots_of(b"hello"))
        self.peer = server.recvfrom(9)[1]
        return link, came, enough

    def open(self, address: Address) -> tuple[DatagramSocket, Deferred[bytes], Deferred[ExchangeError]]:
        came: Deferred[bytes] = Deferred()
        refused: Deferred[Any] = Deferred()
        link = DatagramSocket(
            self.watch(), address, lambda batch: came.callback(batch[0].last()), lambda error: refused.callback([error])
        )
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
            link.send(slots_of(b"ping"))
            data, client = server.recvfrom(100)
            server.sendto(data[::-1], client)
            reply = yield came
            self.assertEqual(reply, b"gnip")

    @inlineCallbacks
    def test_unreachable(self) -> Any:
        """A port without a server is reported as refused (by ICMP)."""
        link, _, refused = self.open(Address("127.0.0.1", claim_port()))
        link.send(slots_of(b"ping"))
        (error,) = yield refused
        self.assertIs(error.reason, errors.CONNECTION_REFUSED)

    def test_unreachable_at_the_next_send(self) -> None:
        """The news may come with the next datagram sent: it says which one was not, and that one can be sent again."""
        gone = self.server()
        link, _, refused = self.open(Address(*gone.getsockname()))
        gone.close()
        link.send(slots_of(b"zero"))
        cut = link.send(slots_of(b"one", b"one", b"other"))
        assert cut is not None
        self.assertEqual((cut[0], cut[1].reason), (0, errors.CONNECTION_REFUSED))
        with self.assertRaises(ConnectionRefusedError) as failed:
            link.send_one(memoryview(b"two"))
            link.send_one(memoryview(b"three"))
        cut = link.explain(failed.exception)
        assert cut is not None
        self.assertEqual((cut[0], cut[1].reason, link.dropped), (0, errors.CONNECTION_REFUSED, 0))
        self.assertFalse(refused.called)

    @inlineCallbacks
    def test_all_that_comes(self) -> Any:
        """Few or many, of any length, all arrive in order."""
        for host in ("127.0.0.1", "::1"):
            server = self.server(host)
            sent = [b"%d" % number * (number % 50) for number in range(70)] + [b"x" * 65507, b"", b"y"]
            link, came, enough = self.collect(server, len(sent))
            for data in sent:
                server.sendto(data, self.peer)
            yield enough
            self.assertEqual(came, sent)
            link.close()

    @inlineCallbacks
    def test_adapts(self) -> Any:
        """Datagrams that keep coming are received many at a time, and one by one again when they come so."""
        server = self.server()
        link, came, enough = self.collect(server, 100)
        for number in range(100):
            server.sendto(b"%d" % number, self.peer)
        yield enough
        self.assertEqual(came, [b"%d" % number for number in range(100)])
        if link._watch.messages is not None:
            self.assertGreater(max(self.batches), 16)
            self.assertTrue(link._is_deep)
            for number in range(100, 103):
                server.sendto(b"%d" % number, self.peer)
                while len(came) <= number:
                    link.read(0)
            self.assertEqual(came[100:], [b"100", b"101", b"102"])

    @inlineCallbacks
    def test_trains(self) -> Any:
        """A train of the server is its datagrams, before the kernel joins them and after."""
        server = self.server()
        link, came, enough = self.collect(server, 200)
        for _ in range(10):
            server.sendmsg(
                [bytes(range(100)) * 2], [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", 10))], 0, self.peer
            )
        yield enough
        self.assertEqual([len(data) for data in came], [10] * 200)
        self.assertEqual(b"".join(came), bytes(range(100)) * 20)
        for pause in (False, True):
            server.sendmsg([b"abcdef"], [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", 2))], 0, self.peer)
            if pause:
                server.sendto(b"g", self.peer)
            expected = 203 if not pause else 207
            while len(came) < expected:
                link.read(0)
        self.assertEqual(came[200:], [b"ab", b"cd", b"ef"] * 2 + [b"g"])
        link.send(slots_of(b"12", b"34", b"5"))
        self.assertEqual([server.recv(9) for _ in range(3)], [b"12", b"34", b"5"])

    @inlineCallbacks
    def test_error_between_replies(self) -> Any:
        """An ICMP message among replies is reported once, and no reply is lost."""
        server = self.server()
        link, came, enough = self.collect(server, 30)
        for number in range(30):
            server.sendto(b"%d" % number, self.peer)
        server.close()
        link.send_one(memoryview(b"into the void"))
        yield enough
        self.assertEqual(came, [b"%d" % number for number in range(30)])
        self.assertEqual([error.reason for error in self.errors], [errors.CONNECTION_REFUSED])

    def test_too_long_is_dropped(self) -> None:
        """A datagram that no network takes is counted, and is nobody's fault."""
        link, _, refused = self.open(Address("127.0.0.1", 9))
        with self.assertRaises(OSError) as failed:
            link.send_one(memoryview(b"x" * 65508))
        self.assertIsNone(link.explain(failed.exception))
        self.assertEqual((link.dropped, refused.called), (1, False))

    def test_unix_sockets_are_none_of_its_business(self) -> None:
        """A server at a unix socket cannot be reached by UDP."""
        with self.assertRaises(ExchangeError) as refused:
            self.open(Address("", 0, "/run/x"))
        self.assertIs(refused.exception.reason, errors.PROXY_INTERNAL_ERROR)


class OneByOneTests(SocketTests):
    """Where there is no call for many datagrams, or a sandbox forbids it."""

    def watch(self) -> Watch:
        watch = Watch(reactor)
        watch.messages = None
        return watch
