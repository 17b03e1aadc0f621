"""Many sockets behind one descriptor."""

from __future__ import annotations

import socket
import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from balancer.net.slots import SLOTS, slots_of
from balancer.net.watching import MOST, Watch


class Reader:
    """A socket that notes what it reads; ``then`` is called with each datagram."""

    def __init__(self, watch: Watch, then: Any = None) -> None:
        self.watch = watch
        self.skt = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.skt.bind(("127.0.0.1", 0))
        self.skt.setblocking(False)
        self.got: list[bytes] = []
        self.firsts: list[int] = []
        self.then = then or (lambda data: None)
        watch.add(self)

    def fileno(self) -> int:
        return self.skt.fileno()

    def read(self, first: int) -> int:
        try:
            self.got.append(self.skt.recv(100))
        except BlockingIOError:
            return 0
        self.firsts.append(first)
        self.then(self.got[-1])
        return first + 1

    def close(self) -> None:
        if self.skt.fileno() >= 0:
            self.watch.remove(self)
            self.skt.close()

    def send(self, data: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as skt:
            skt.sendto(data, self.skt.getsockname())


class WatchTests(SynchronousTestCase):
    """The turns of a watch, one at a time."""

    if not sys.platform.startswith("linux"):
        skip = "this is about epoll"

    def setUp(self) -> None:
        self.watch = Watch(reactor)

    def reader(self, then: Any = None) -> Reader:
        reader = Reader(self.watch, then)
        self.addCleanup(reader.close)
        return reader

    def test_one_descriptor(self) -> None:
        """The reactor knows one descriptor, from the first socket to the last."""
        before = len(reactor.getReaders())
        self.assertEqual(self.watch.fileno(), -1)
        readers = [self.reader() for _ in range(5)]
        self.assertEqual(len(reactor.getReaders()), before + 1)
        self.assertIn(self.watch, reactor.getReaders())
        for reader in readers:
            reader.close()
        self.assertEqual((len(reactor.getReaders()), self.watch.fileno()), (before, -1))
        again = self.reader()
        again.send(b"x")
        self.watch.doRead()
        self.assertEqual(again.got, [b"x"])

    def test_all_that_have_something(self) -> None:
        """Every socket is served, each with a slot of its own until replies are sent, and so often as it takes."""
        readers = [self.reader() for _ in range(SLOTS)]
        for reader in readers:
            reader.send(b"1")
            reader.send(b"2")
        self.watch.doRead()
        self.assertEqual({tuple(reader.got) for reader in readers}, {(b"1", b"2")})
        self.assertEqual(max(first for reader in readers for first in reader.firsts), SLOTS * 3 // 4 - 1)

    def test_bounded(self) -> None:
        """A turn ends though more has come; the rest is served in the next one."""
        readers = [self.reader(), self.reader()]
        for _ in range(MOST // 2 + 5):
            for reader in readers:
                reader.send(b"")
        self.watch.doRead()
        self.assertEqual([len(reader.got) for reader in readers], [MOST // 2] * 2)
        self.watch.doRead()
        self.assertEqual([len(reader.got) for reader in readers], [MOST // 2 + 5] * 2)

    def test_closed_by_another(self) -> None:
        """A socket closed by what was served before it is not served."""
        readers: list[Reader] = []
        readers += [self.reader(lambda _: readers[1].close()), self.reader(lambda _: readers[0].close())]
        for reader in readers:
            reader.send(b"x")
        self.watch.doRead()
        self.assertEqual(len(readers[0].got) + len(readers[1].got), 1)

    def test_all_closed(self) -> None:
        """The turn ends with the last socket."""
        reader = self.reader()
        reader.then = lambda _: reader.close()
        reader.send(b"x")
        reader.send(b"y")
        self.watch.doRead()
        self.assertEqual((reader.got, self.watch.fileno()), ([b"x"], -1))

    def test_failure(self) -> None:
        """One that fails is logged, and the others are served."""

        def fail(_: bytes) -> None:
            raise ZeroDivisionError

        readers = [self.reader(fail), self.reader()]
        for reader in readers:
            reader.send(b"x")
        self.watch.doRead()
        self.assertEqual(readers[1].got, [b"x"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_replies_wait(self) -> None:
        """Whoever holds replies is asked to send them when all have been served."""
        said: list[str] = []

        class Held:
            def flush(self) -> None:
                said.append("flush")

        def serve(_: bytes) -> None:
            said.append("serve")
            self.assertTrue(self.watch.is_busy)
            if len(said) == 1:
                self.watch.waiting.append(Held())

        readers = [self.reader(serve) for _ in range(3)]
        for reader in readers:
            reader.send(b"x")
        self.watch.doRead()
        self.assertEqual((said, self.watch.is_busy), (["serve"] * 3 + ["flush"], False))

    def test_end_of_the_reactor(self) -> None:
        """When the reactor lets go, so does the watch."""
        reader = self.reader()
        self.watch.connectionLost(Failure(ConnectionLost()))
        self.assertEqual((self.watch.fileno(), self.watch.logPrefix()), (-1, "Watch"))
        reader.close()


class SingleTests(SynchronousTestCase):
    """Where there is no epoll each socket is the reactor's."""

    def test_each_by_the_reactor(self) -> None:
        """Sockets come and go one by one, are read while they have something, and errors do not end them."""
        watch = Watch(reactor)
        watch.messages = None
        before = len(reactor.getReaders())
        readers = [Reader(watch), Reader(watch)]
        for reader in readers:
            self.addCleanup(reader.close)
        self.assertEqual(len(reactor.getReaders()), before + 2)
        single = watch._descriptors[readers[0]]
        self.assertEqual((single.fileno(), single.logPrefix()), (readers[0].fileno(), "Reader"))
        for data in (b"1", b"2"):
            readers[0].send(data)
        single.doRead()
        self.assertEqual(readers[0].got, [b"1", b"2"])
        readers[0].send(b"3")
        reactor.removeReader(single)
        single.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(readers[0].got[2:], [b"3"])
        self.assertIn(single, reactor.getReaders())
        for reader in readers:
            reader.close()
        self.assertEqual(len(reactor.getReaders()), before)


class SlotsTests(SynchronousTestCase):
    """Memory."""

    def test_singles(self) -> None:
        """Each slot stands alone in a batch."""
        watch = Watch(reactor)
        self.assertEqual([batch[0] for batch in watch.singles], list(watch.slots))
        self.assertEqual(len(slots_of(b"a", b"b")), 2)
