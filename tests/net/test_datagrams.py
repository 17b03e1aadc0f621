"""Bound datagram sockets: where a datagram came from, and that the reply leaves from there."""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from balancer.errors import BalancerError
from balancer.net.datagrams import DatagramPort, Origin
from balancer.net.slots import slots_of
from balancer.net.trains import UDP_SEGMENT, Batch
from balancer.net.watching import MOST, Watch


class PortTests(TestCase):
    """Many datagrams at a time."""

    timeout = 10

    def watch(self) -> Watch:
        return Watch(reactor)

    def setUp(self) -> None:
        self.batches: list[int] = []
        self.replying = False
        self.got: list[tuple[bytes, Origin, str]] = []
        self.awaited: tuple[int, Deferred[None]] | None = None

    def received(self, batch: Batch, origin: Origin) -> None:
        path = self.port.path(origin)
        self.batches.append(len(batch))
        for slot in batch:
            for each in slot.datagrams():
                self.got.append((each.last(), origin, path.local))
        if self.replying:
            path.send(batch)
        if self.awaited is not None and len(self.got) >= self.awaited[0]:
            awaited, self.awaited = self.awaited[1], None
            reactor.callLater(0, awaited.callback, None)  # when this round's replies are sent

    def until(self, count: int) -> Deferred[None]:
        self.awaited = (count, Deferred())
        return self.awaited[1]

    def open(self, bind: str) -> DatagramPort:
        self.port = port = DatagramPort(self.watch(), bind, self.received)
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
            port.path(origin).send(slots_of(b"pong"))
            self.assertEqual(client.recv(100), b"pong", bind)
            self.assertEqual(port.path(origin).client, client.getsockname()[:2])

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
        count = MOST + 3
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
        path = port.path(origin)
        path.send(slots_of(data))
        self.assertEqual(len(client.recv(65535)), 65507)
        path.send(slots_of(b"x" * 65508, b"y"))
        self.assertEqual((port.dropped, client.recv(9)), (1, b"y"))
        port.close()
        port.close()
        path.send(slots_of(b"x"))

    @inlineCallbacks
    def test_echo(self) -> Any:
        """Replies that arise while others are served reach their clients, each its own, in order."""
        self.replying = True
        for bind, host in (
            ("127.0.0.1:0", "127.0.0.1"),
            ("*:0", "127.0.0.5"),
            ("*:0", "::1"),
            ("0.0.0.0:0", "127.0.0.6"),
        ):
            self.got.clear()
            port = self.open(bind)
            clients = [self.client(host, port.address.port) for _ in range(40)]
            for number in range(3):
                for client in clients[number:]:
                    client.send(b"%d" % number)
            for length in (65507, 65507, 0, 1400, 1400, 1400, 700):
                clients[0].send(b"x" * length)
            yield self.until(3 * 40 - 3 + 7)
            self.assertEqual([clients[39].recv(9) for _ in range(3)], [b"0", b"1", b"2"])
            self.assertEqual(clients[1].recv(9), b"0")
            replies = [len(clients[0].recv(65535)) for _ in range(8)]
            self.assertEqual((replies, port.dropped), ([1, 65507, 65507, 0, 1400, 1400, 1400, 700], 0), bind)
            port.close()

    @inlineCallbacks
    def test_trains(self) -> Any:
        """What a client sends as a train, to one of several addresses, is the same datagrams here and in the reply."""
        self.replying = True
        for bind, host in (
            ("127.0.0.1:0", "127.0.0.1"),
            ("*:0", "127.0.0.5"),
            ("*:0", "::1"),
            ("0.0.0.0:0", "127.0.0.6"),
        ):
            self.got.clear()
            port = self.open(bind)
            client = self.client(host, port.address.port)
            client.sendmsg([b"abcdefg"], [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", 3))])
            client.send(b"h")
            yield self.until(4)
            self.assertEqual(
                [(data, local) for data, _, local in self.got], [(each, host) for each in (b"abc", b"def", b"g", b"h")]
            )
            self.assertEqual(len({origin for _, origin, _ in self.got}), 1)
            self.assertEqual([client.recv(9) for _ in range(4)], [b"abc", b"def", b"g", b"h"])
            port.close()

    if sys.platform != "linux":
        test_trains.skip = "only Linux has trains"

    @inlineCallbacks
    def test_failure(self) -> Any:
        """Whose datagrams cannot be served does not keep those of others, nor later ones."""
        port = self.open("127.0.0.1:0")
        clients = [self.client("127.0.0.1", port.address.port) for _ in range(3)]
        clients[0].send(b"first")
        yield self.until(1)

        def fail(batch: Batch) -> int:
            raise ZeroDivisionError

        port.sinks[self.got[0][1]] = fail
        for client in clients:
            client.send(b"x")
        yield self.until(3)
        self.assertEqual([data for data, _, _ in self.got], [b"first", b"x", b"x"])
        if self.watch().messages is not None:
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        else:
            del port.sinks[self.got[0][1]]
            self.flushLoggedErrors(ZeroDivisionError)

    @inlineCallbacks
    def test_sinks(self) -> Any:
        """A known origin's datagrams go to its sink; what that does not take is handed on as new."""
        port = self.open("127.0.0.1:0")
        client = self.client("127.0.0.1", port.address.port)
        client.send(b"1")
        yield self.until(1)
        taken: list[bytes] = []

        def sink(batch: Batch) -> int:
            if len(taken) == 2:
                return 0
            taken.append(batch[0].last())
            return 1

        port.sinks[self.got[0][1]] = sink
        for data in (b"2", b"3", b"4", b"5"):
            client.send(data)
        yield self.until(3 if self.watch().messages is None else 4)
        self.assertEqual(taken[0], b"2")
        self.assertEqual(sorted(taken + [data for data, _, _ in self.got]), [b"1", b"2", b"3", b"4", b"5"])

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
            Watch(Clock())


class OneByOneTests(PortTests):
    """Where there is no call for many datagrams, or a sandbox forbids it."""

    def watch(self) -> Watch:
        watch = Watch(reactor)
        watch.messages = None
        return watch
