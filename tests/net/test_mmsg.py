"""Many datagrams with one system call."""

from __future__ import annotations

import errno
import socket
import struct
import sys

from twisted.trial.unittest import SynchronousTestCase

from balancer.net import mmsg
from balancer.net.mmsg import CONTROL, NAME, UDP_GRO, Messages
from balancer.net.slots import Slots, slots_of
from balancer.net.trains import UDP_SEGMENT


def raw_name(skt: socket.socket) -> bytes:
    host, port = skt.getsockname()[:2]
    return struct.pack("=H", socket.AF_INET) + struct.pack(">H", port) + socket.inet_aton(host) + bytes(8)


class MessagesTests(SynchronousTestCase):
    """Between two sockets."""

    if not sys.platform.startswith("linux"):
        skip = "only Linux has these calls"

    def setUp(self) -> None:
        from cffi import FFI

        ffi = FFI()
        ffi.cdef("int recvmmsg(int, uintptr_t, unsigned, int, void *); int sendmmsg(int, uintptr_t, unsigned, int);")
        self.slots = Slots(8, 2000)
        self.messages = Messages(self.slots, ffi, ffi.dlopen(None))
        self.server, self.client = self.socket(), self.socket()
        self.client.connect(self.server.getsockname())

    def socket(self) -> socket.socket:
        skt = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(skt.close)
        skt.bind(("127.0.0.1", 0))
        skt.setblocking(False)
        return skt

    def got(self, first: int, count: int) -> list[bytes]:
        return [bytes(slot.view[: slot.length]) for slot in self.slots[first : first + count]]

    def test_receives_what_waits(self) -> None:
        """In order, from the slot asked for on, with the name of whoever sent it, as many as there is room for."""
        sent = [b"%d" % number * number for number in range(10)]
        for data in sent:
            self.client.send(data)
        self.assertEqual(self.messages.receive(self.server.fileno(), 3), 5)
        self.assertEqual(self.got(3, 5), sent[:5])
        for index in range(3, 8):
            start = index * (NAME + CONTROL)
            self.assertEqual(bytes(self.messages.origins[start : start + 16]), raw_name(self.client))
        self.assertEqual(self.messages.receive(self.server.fileno(), 0), 5)
        self.assertEqual((self.got(0, 5), self.messages.is_cut), (sent[5:], False))
        with self.assertRaises(BlockingIOError):
            self.messages.receive(self.server.fileno(), 0)

    def test_too_long(self) -> None:
        """What does not fit into a slot is known by its length of -1, and those beside it are whole."""
        for data in (b"a", b"x" * 2001, b"y" * 2000):
            self.client.send(data)
        self.assertEqual(self.messages.receive(self.server.fileno(), 0), 3)
        self.assertEqual([slot.length for slot in self.slots[:3]], [1, -1, 2000])
        self.assertTrue(self.messages.is_cut)

    def test_error_between(self) -> None:
        """An ICMP message is reported once; what else came is not lost with it."""
        gone = self.socket()
        self.client.connect(gone.getsockname())
        name = self.client.getsockname()
        gone.sendto(b"before", name)
        gone.close()
        self.client.send(b"x")
        with self.assertRaises(ConnectionRefusedError):
            self.messages.receive(self.client.fileno(), 0)
        self.assertEqual(self.messages.receive(self.client.fileno(), 0), 1)
        self.assertEqual(self.got(0, 1), [b"before"])

    def test_sends_to_many(self) -> None:
        """Each datagram goes to its own name."""
        others = [self.socket() for _ in range(3)]
        for slot, number in zip(self.slots, range(3)):
            slot.view[:3] = b"to%d" % number
            slot.length = 3
        self.messages.lay_out([raw_name(other) for other in others], [b""] * 3, self.slots[:3])
        self.assertEqual(self.messages.send(self.server.fileno(), 0, 3), 3)
        self.assertEqual([other.recv(9) for other in others], [b"to0", b"to1", b"to2"])

    def test_sends_from_our_address(self) -> None:
        """Ancillary data goes with each datagram: here, the address to send from."""
        everywhere = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(everywhere.close)
        everywhere.bind(("0.0.0.0", 0))
        control = [
            struct.pack("=QIII4s4s4x", 28, socket.IPPROTO_IP, 8, 0, socket.inet_aton(host), bytes(4))
            for host in ("127.0.0.7", "127.0.0.8")
        ]
        for slot in self.slots[:2]:
            slot.length = 0
        self.messages.lay_out([raw_name(self.server)] * 2, control, self.slots[:2])
        self.assertEqual(self.messages.send(everywhere.fileno(), 0, 2), 2)
        self.assertEqual([self.server.recvfrom(9)[1][0] for _ in range(2)], ["127.0.0.7", "127.0.0.8"])

    def test_one_that_does_not_go(self) -> None:
        """The count ends before it; asked to begin with it, the error is raised; those after it can be sent."""
        names = [raw_name(self.client)] * 3
        names[1] = struct.pack("=HH", socket.AF_INET, 0) + bytes(12)  # port 0
        self.server.connect(("127.0.0.1", 9))
        self.server.connect(self.client.getsockname())
        for slot in self.slots[:3]:
            slot.length = 1
        self.messages.lay_out(names, [b""] * 3, self.slots[:3])
        self.assertEqual(self.messages.send(self.server.fileno(), 0, 3), 1)
        with self.assertRaises(OSError) as refused:
            self.messages.send(self.server.fileno(), 1, 2)
        self.assertEqual(refused.exception.errno, errno.EINVAL)
        self.assertEqual(self.messages.send(self.server.fileno(), 2, 1), 1)

    def test_trains(self) -> None:
        """A train is received as one, with the length of its datagrams; a datagram alone is none."""
        self.server.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        self.client.sendmsg([b"a" * 250], [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", 100))])
        self.client.send(b"b" * 70)
        count = self.messages.receive(self.server.fileno(), 0)
        self.messages.find_trains(0, self.messages.control_lengths(0, count))
        datagrams = [each for slot in self.slots[:count] for each in slot.datagrams()]
        self.assertEqual([each.length for each in datagrams], [100, 100, 50, 70])
        self.assertEqual((count, self.slots[0].segment, self.slots[1].segment), (2, 100, 0))

    def test_memory_of_their_own(self) -> None:
        """Only slots that lie in the shared memory have an address."""
        self.assertEqual(slots_of(b"x")[0].address, 0)
        self.assertEqual(len({slot.address for slot in self.slots} - {0}), 8)

    def test_shared(self) -> None:
        """There is one for the process."""
        self.assertIsNotNone(mmsg.shared())
        self.assertIs(mmsg.shared(), mmsg.shared())
