"""Sockets that are bound here and served elsewhere."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from balancer.errors import BalancerError
from balancer.net.sockets import Bound, bound_datagrams, bound_streams


class BoundTests(TestCase):
    def streams(self, bind: str, shares: int = 3) -> Bound:
        bound = bound_streams(reactor, bind, shares)
        self.addCleanup(bound.close)
        return bound

    def test_a_socket_for_each_share(self) -> None:
        """Port 0 is chosen once; each share has a socket of its own with that address, closed to programs we run."""
        bound = self.streams("127.0.0.1:0")
        descriptors = [bound.descriptor(share) for share in range(3)]
        self.assertEqual(len(set(descriptors)), 3)
        for descriptor in descriptors:
            self.assertFalse(os.get_inheritable(descriptor))
            with socket.socket(fileno=os.dup(descriptor)) as skt:
                self.assertEqual(f"127.0.0.1:{skt.getsockname()[1]}", bound.address)
                self.assertTrue(skt.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))

    def test_connections_are_spread(self) -> None:
        """The kernel gives each share about as many connections as the others."""
        bound = self.streams("127.0.0.1:0", 2)
        port = int(bound.address.rpartition(":")[2])
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
        counts = []
        for share in range(2):
            accepted = 0
            with socket.socket(fileno=os.dup(bound.descriptor(share))) as skt:
                try:
                    while True:
                        skt.accept()[0].close()
                        accepted += 1
                except BlockingIOError:
                    counts.append(accepted)
        for client in clients:
            client.close()
        self.assertEqual(sum(counts), 100)
        self.assertGreater(min(counts), 20)

    def test_more_and_fewer(self) -> None:
        """A share gets its socket when it is asked for, after those before it; the last can be closed, but one stays."""
        bound = self.streams("127.0.0.1:0", 1)
        self.assertNotEqual(bound.descriptor(2), bound.descriptor(0))
        self.assertEqual(len(bound.descriptors), 3)
        bound.keep(2)
        self.assertEqual(len(bound.descriptors), 2)
        bound.keep(0)
        self.assertEqual(len(bound.descriptors), 1)
        self.assertEqual(repr(bound), "<Bound 127.0.0.1:0, 1 sockets>")

    def queued(self, bound: Bound, clients: int = 60) -> list[int]:
        """Connect so many clients, and return how many are in the queue of each share."""
        port = int(bound.address.rpartition(":")[2])
        for _ in range(clients):
            self.addCleanup(socket.create_connection(("127.0.0.1", port)).close)
        return [self.accepted(descriptor) for descriptor in bound.descriptors]

    def accepted(self, descriptor: int) -> int:
        count = 0
        with socket.socket(fileno=os.dup(descriptor)) as skt:
            try:
                while True:
                    skt.accept()[0].close()
                    count += 1
            except BlockingIOError:
                return count

    def test_steered(self) -> None:
        """New connections are kept away from the last shares, those in their queues stay; then all is as it was."""
        bound = self.streams("127.0.0.1:0", 4)
        leaving = bound.descriptors[2:]
        port = int(bound.address.rpartition(":")[2])
        early = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
        self.assertIs(bound.steer(2), True)
        self.assertEqual(len(bound.descriptors), 2)
        counts = [self.accepted(descriptor) for descriptor in [*bound.descriptors, *leaving]]
        self.assertEqual(sum(counts), len(early))
        self.assertGreater(counts[2] + counts[3], 0)
        for skt in early:
            skt.close()
        counts = self.queued(bound)
        self.assertEqual(sum(counts), 60)
        self.assertGreater(min(counts), 0)
        self.assertEqual([self.accepted(descriptor) for descriptor in leaving], [0, 0])
        bound.keep(2)
        self.assertGreater(min(self.queued(bound)), 0)
        bound.descriptor(3)
        self.assertGreater(min(self.queued(bound, 120)), 0)

    def test_steered_back(self) -> None:
        """If more are wanted again before those that leave are closed, they have their sockets again."""
        bound = self.streams("127.0.0.1:0", 3)
        before = bound.descriptors
        bound.steer(1)
        self.assertIsNone(bound.steer(3))
        bound.keep(3)
        self.assertEqual(bound.descriptors, before)
        self.assertGreater(min(self.queued(bound, 120)), 0)

    def test_nothing_to_steer(self) -> None:
        """Sockets that are everybody's stay, and of datagrams, whose flows would move twice, the last are closed at once."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.assertIsNone(self.streams(f"unix:{folder.name}/s").steer(1))
        self.assertIsNone(self.streams("127.0.0.1:0", 2).steer(2))
        datagrams = bound_datagrams("127.0.0.1:0", 3)
        self.addCleanup(datagrams.close)
        self.assertIsNone(datagrams.steer(1))
        self.assertEqual(len(datagrams.descriptors), 1)

    def test_nobody_comes_any_more(self) -> None:
        """When it is closed, those who wait can still be accepted by who has the sockets too, and nobody else comes."""
        bound = bound_streams(reactor, "127.0.0.1:0", 1)
        port = int(bound.address.rpartition(":")[2])
        with socket.socket(fileno=os.dup(bound.descriptor(0))) as worker, socket.socket() as late:
            early = socket.create_connection(("127.0.0.1", port))
            self.addCleanup(early.close)
            bound.close()
            late.setblocking(False)
            late.connect_ex(("127.0.0.1", port))
            worker.accept()[0].close()
            self.assertRaises(BlockingIOError, worker.accept)

    def test_taken(self) -> None:
        """An address that another program has is refused, though the other would share it with us."""
        for kind, open_one in (
            (socket.SOCK_STREAM, self.streams),
            (socket.SOCK_DGRAM, lambda bind: bound_datagrams(bind, 2)),
        ):
            with socket.socket(socket.AF_INET, kind) as other:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                other.bind(("127.0.0.1", 0))
                if kind == socket.SOCK_STREAM:
                    other.listen()
                bind = f"127.0.0.1:{other.getsockname()[1]}"
                error = self.assertRaises(BalancerError, open_one, bind)
                self.assertEqual(str(error), f"cannot listen on {bind}: the address is in use by another program")

    def test_unix(self) -> None:
        """A unix socket is one for all; its path is removed at the end, unless others go on with it."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name, "s")
        for close, stays in ((Bound.leave, True), (Bound.close, False)):
            bound = bound_streams(reactor, f"unix:{path}:mode=600", 2)
            self.assertEqual(bound.descriptor(0), bound.descriptor(1))
            self.assertEqual(path.stat().st_mode & 0o777, 0o600)
            self.assertEqual(bound.address, f"unix:{path}")
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))  # it listens: nobody accepts, and nobody refuses
            close(bound)
            self.assertEqual(path.exists(), stays)

    def test_inherited(self) -> None:
        """What another process has opened goes on; a unix socket's path is ours only once it is in use."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name, "s")
        first = bound_streams(reactor, f"unix:{path}", 1)
        again = Bound.inherited(first.bind, [os.dup(first.descriptor(0))])
        again.close()
        self.assertTrue(path.exists())
        again = Bound.inherited(first.bind, [os.dup(first.descriptor(0))])
        again.own()
        first.leave()
        again.close()
        self.assertFalse(path.exists())
        tcp = self.streams("127.0.0.1:0", 2)
        taken_over = Bound.inherited(tcp.bind, [os.dup(each) for each in tcp.descriptors])
        self.addCleanup(taken_over.close)
        self.assertEqual(taken_over.address, tcp.address)
        self.assertNotEqual(taken_over.descriptor(2), taken_over.descriptor(0))

    def test_left(self) -> None:
        """Sockets that another process may have are closed without keeping anybody from them."""
        first = bound_streams(reactor, "127.0.0.1:0", 1)
        again = Bound.inherited(first.bind, [os.dup(each) for each in first.left()])
        self.addCleanup(again.close)
        first.close()
        refused = Bound.inherited(first.bind, [os.dup(each) for each in again.descriptors])
        refused.close()
        self.assertEqual(self.queued(again, 3), [3])

    def test_what_cannot_be_shared(self) -> None:
        """An endpoint whose socket is not all there is to it is refused."""
        for bind in ("haproxy:tcp:0", "nonsense:1:2"):
            error = self.assertRaises(BalancerError, self.streams, bind)
            self.assertIn(f"cannot listen on {bind}", str(error))

    def test_datagrams(self) -> None:
        """A flow stays with its share."""
        bound = bound_datagrams("127.0.0.1:0", 2)
        self.addCleanup(bound.close)
        port = int(bound.address.rpartition(":")[2])
        for _ in range(10):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.connect(("127.0.0.1", port))
                for _ in range(3):
                    client.send(b"x")
                self.assertEqual(sorted(self.received(bound, share) for share in range(2)), [0, 3])

    def received(self, bound: Bound, share: int) -> int:
        count = 0
        with socket.socket(fileno=os.dup(bound.descriptor(share))) as skt:
            try:
                while skt.recv(100):
                    count += 1
            except BlockingIOError:
                pass
        return count
