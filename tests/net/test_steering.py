"""Keeping connections away from sockets."""

from __future__ import annotations

import errno
import select
import socket

from twisted.trial.unittest import SynchronousTestCase

from balancer.net.steering import shut_out, steer, unsteer


class SteeringTests(SynchronousTestCase):
    """What the kernel does; what is made of it is in ``test_sockets``."""

    def listening(self, port: int = 0) -> socket.socket:
        skt = socket.socket()
        self.addCleanup(skt.close)
        skt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        skt.bind(("127.0.0.1", port))
        skt.listen(100)
        skt.setblocking(False)
        return skt

    def counts(self, *sockets: socket.socket) -> list[int]:
        """Connect 60 clients; return how many each has got."""
        for _ in range(60):
            self.addCleanup(socket.create_connection(sockets[0].getsockname()).close)
        counts = []
        for skt in sockets:
            count = 0
            try:
                while True:
                    skt.accept()[0].close()
                    count += 1
            except BlockingIOError:
                counts.append(count)
        return counts

    def test_group(self) -> None:
        """Only the first of a group have connections, evenly; then all again."""
        first = self.listening()
        group = [first, *(self.listening(first.getsockname()[1]) for _ in range(3))]
        self.assertTrue(steer(first, 2))
        one, two, *rest = self.counts(*group)
        self.assertEqual((one + two, rest), (60, [0, 0]))
        self.assertGreater(min(one, two), 5)
        self.assertTrue(steer(first, 1))
        self.assertEqual(self.counts(*group), [60, 0, 0, 0])
        unsteer(first)
        self.assertGreater(min(self.counts(*group)), 0)
        unsteer(first)

    def test_shut_out(self) -> None:
        """Who tries to connect is not answered; who is connected is served, and refused is who tries after the end."""
        skt = self.listening()
        name = skt.getsockname()
        early = socket.create_connection(name)
        self.addCleanup(early.close)
        self.assertTrue(shut_out(skt))
        with socket.socket() as late:
            late.setblocking(False)
            late.connect_ex(name)
            served, _ = skt.accept()
            served.sendall(b"hello")
            served.close()
            self.assertEqual((early.recv(10), early.recv(10)), (b"hello", b""))
            self.assertRaises(BlockingIOError, skt.accept)
            skt.close()
            self.assertTrue(select.select([], [late], [], 20)[1])
            self.assertEqual(late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), errno.ECONNREFUSED)

    def test_refused(self) -> None:
        """Where the kernel does not do it, nothing happens."""
        with socket.socket(socket.AF_UNIX) as skt:
            self.assertFalse(steer(skt, 1))
            unsteer(skt)
