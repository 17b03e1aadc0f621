"""Trains: several datagrams sent as one message, and what becomes of those that cannot be."""

from __future__ import annotations

import errno
import socket
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase

from balancer.net.slots import slots_of
from balancer.net.trains import LONGEST_TRAIN, MOST_BYTES, Descriptor, run_end
from balancer.net.watching import Watch

_SO_NO_CHECK = 11


class RunTests(SynchronousTestCase):
    """What makes a train."""

    def test_lengths(self) -> None:
        """Equal ones, and a shorter one at the end; no empty ones; not more than fits."""
        for lengths, longest, end in (
            ([5], 100, 1),
            ([5, 5, 5], 100, 3),
            ([5, 5, 3, 5], 100, 3),
            ([5, 6], 100, 1),
            ([5, 0], 100, 1),
            ([0, 0], 100, 1),
            ([5, 5], 4, 1),
            ([5, 5], 0, 1),
            ([1] * 100, 100, LONGEST_TRAIN),
            ([32000] * 3, 65535, 2),
        ):
            self.assertEqual(run_end(slots_of(*map(bytes, lengths)), 0, longest), end, lengths)

    def test_trains_of_trains(self) -> None:
        """Trains of one length join, up to one that ends short."""
        batch = slots_of(bytes(40), bytes(20), bytes(15), bytes(20))
        for slot in batch:
            slot.segment = 10
        self.assertEqual((run_end(batch, 0, 100), run_end(batch, 2, 100)), (3, 3))
        batch[1].segment = 5
        self.assertEqual(run_end(batch, 0, 100), 1)

    @given(st.lists(st.sampled_from([0, 1, 700, 1400, 32000, 65000]), min_size=1, max_size=100))
    def test_goes_on(self, lengths: list[int]) -> None:
        """Whatever the lengths, runs follow one another to the end, within the limits."""
        batch = slots_of(*map(bytes, lengths))
        start = 0
        while start < len(batch):
            end = run_end(batch, start, 65535)
            self.assertGreater(end, start)
            if end > start + 1:
                self.assertLessEqual(sum(lengths[start:end]), MOST_BYTES)
                self.assertLessEqual(end - start, LONGEST_TRAIN)
                self.assertEqual(len(set(lengths[start : end - 1])), 1)
            start = end


class Stubborn:
    """A socket whose sends fail as told: ``{number of the call: errno}``."""

    def __init__(self, real: socket.socket, failures: dict[int, int]) -> None:
        self.real = real
        self.failures = failures
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def sendmsg(self, *arguments: Any) -> int:
        self.calls += 1
        number = self.failures.get(self.calls)
        if number:
            raise OSError(number, "told so")
        return self.real.sendmsg(*arguments)


class SendTests(SynchronousTestCase):
    """From a connected socket to another."""

    def setUp(self) -> None:
        self.server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.server.close)
        self.server.bind(("127.0.0.1", 0))
        self.server.setblocking(False)

    def descriptor(self, **failures: int) -> tuple[Descriptor, Stubborn]:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(client.close)
        client.connect(self.server.getsockname())
        stubborn = Stubborn(client, {int(key[1:]): value for key, value in failures.items()})
        return Descriptor(Watch(reactor), stubborn), stubborn  # type: ignore[arg-type]

    def arrived(self) -> list[bytes]:
        found = []
        try:
            while True:
                found.append(self.server.recv(65535))
        except BlockingIOError:
            return found

    def test_boundaries_and_order(self) -> None:
        """The same datagrams arrive in the same order, with fewer calls."""
        sent = [b"a" * 100] * 20 + [b"b" * 7, b"", b"", b"c" * 65507, b"d" * 1400, b"e" * 1400, b"f" * 1400]
        descriptor, calls = self.descriptor()
        self.assertIsNone(descriptor.send_batch(slots_of(*sent)))
        self.assertEqual((self.arrived(), calls.calls), (sent, 5))

    def test_a_train_that_came_as_one(self) -> None:
        """It leaves as one too."""
        (slot,) = slots_of(b"aabbc")
        slot.segment = 2
        descriptor, calls = self.descriptor()
        descriptor.send_batch([slot])
        self.assertEqual((self.arrived(), calls.calls), ([b"aa", b"bb", b"c"], 1))

    def test_socket_without_trains(self) -> None:
        """Where the kernel refuses a train the same datagrams go one by one, and shorter ones are still tried."""
        descriptor, calls = self.descriptor()
        calls.real.setsockopt(socket.SOL_SOCKET, _SO_NO_CHECK, 1)
        train = slots_of(b"xxyy")[0]
        train.segment = 2
        descriptor.send_batch([*slots_of(b"a" * 9, b"b" * 9), train])
        self.assertEqual(self.arrived(), [b"a" * 9, b"b" * 9, b"xx", b"yy"])
        before = calls.calls
        descriptor.send_batch(slots_of(b"a" * 9, b"b" * 9))
        self.assertEqual((self.arrived(), calls.calls - before), ([b"a" * 9, b"b" * 9], 2))
        self.assertEqual(descriptor.dropped, 0)

    def test_network_card_without_trains(self) -> None:
        """EIO means that there are none on this way."""
        descriptor, calls = self.descriptor(_1=errno.EIO)
        for _ in range(2):
            descriptor.send_batch(slots_of(b"a", b"b"))
        self.assertEqual((self.arrived(), calls.calls, descriptor.dropped), ([b"a", b"b"] * 2, 5, 0))

    def test_no_room(self) -> None:
        """What the kernel has no room for is dropped and counted, and the rest goes."""
        for number in (errno.EAGAIN, errno.ENOBUFS):
            descriptor, _ = self.descriptor(_1=number, _3=number)  # the train, and its second datagram
            self.assertIsNone(descriptor.send_batch(slots_of(b"a", b"b", b"c")))
            self.assertEqual((self.arrived(), descriptor.dropped), ([b"a", b"c"], 1))
            descriptor, _ = self.descriptor(_1=number)
            descriptor.send_batch(slots_of(b"a", b"bb"))
            self.assertEqual((self.arrived(), descriptor.dropped), ([b"bb"], 1))

    def test_too_long(self) -> None:
        """A datagram that no network takes is dropped, those around it are not."""
        descriptor, _ = self.descriptor()
        descriptor.send_batch(slots_of(b"a", b"x" * 65508, b"b"))
        self.assertEqual((self.arrived(), descriptor.dropped), ([b"a", b"b"], 1))

    def test_error_of_the_other_end(self) -> None:
        """It is returned with the place where it happened: in a train, alone, or while a train is sent one by one."""
        for failures, start, arrived in (
            ({"_1": errno.ECONNREFUSED}, 0, []),
            ({"_2": errno.ECONNREFUSED}, 3, [b"a", b"b", b"c"]),
            ({"_1": errno.EAGAIN, "_3": errno.ECONNREFUSED}, 0, [b"a"]),
        ):
            descriptor, _ = self.descriptor(**failures)
            cut = descriptor.send_batch(slots_of(b"a", b"b", b"c", b"dddd"))
            assert cut is not None
            self.assertEqual((cut[0], cut[1].errno), (start, errno.ECONNREFUSED))
            self.assertEqual(self.arrived(), arrived)

    def test_closed(self) -> None:
        """A closed socket sends nothing."""
        descriptor, calls = self.descriptor()
        descriptor.close()
        descriptor.close()
        self.assertIsNone(descriptor.send_batch(slots_of(b"a")))
        self.assertEqual((calls.calls, descriptor.fileno()), (0, -1))
