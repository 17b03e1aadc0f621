"""Tests of what is still on its way."""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from balancer.net.unsent import unacknowledged


class UnacknowledgedTests(SynchronousTestCase):
    def test_in_the_kernel(self) -> None:
        """What the kernel holds counts as well as what is queued; a transport without a socket has its queue."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)

        class Transport:
            queued = 5

            def getHandle(self) -> socket.socket:
                return ours

        self.assertEqual(unacknowledged(Transport()), 5)
        ours.send(b"x" * 100)
        self.assertGreaterEqual(unacknowledged(Transport()), 105)
        theirs.recv(1000)
        self.assertEqual(unacknowledged(Transport()), 5)
        ours.close()
        self.assertEqual(unacknowledged(Transport()), 5)
        self.assertEqual(unacknowledged(object()), 0)
