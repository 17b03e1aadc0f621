"""What a process leaves to the one that takes over."""

from __future__ import annotations

import os
import socket

from twisted.trial.unittest import TestCase

from balancer.errors import BalancerError
from balancer.service.inheritance import Inheritance, telling


class InheritanceTests(TestCase):
    def setUp(self) -> None:
        self.read, write = os.pipe()
        self.addCleanup(os.close, self.read)
        self.streams = [self.descriptor(socket.SOCK_STREAM) for _ in range(2)]
        self.datagram = self.descriptor(socket.SOCK_DGRAM)
        left = [("web", "a:1", self.streams), ("dns", "a:53", [self.datagram])]
        self.inheritance = Inheritance(left, {"secret": "s", "state": [1]}, write)

    @staticmethod
    def descriptor(kind: int) -> int:
        return socket.socket(socket.AF_INET, kind).detach()

    def test_taken_once(self) -> None:
        """Sockets are taken by name and bind, by the bind alone, never one of another kind; once."""
        self.assertEqual(self.inheritance.take("other", "a:2"), [])
        self.assertEqual(self.inheritance.take("web", "a:1", socket.SOCK_DGRAM), [])
        self.assertEqual(self.inheritance.take("renamed", "a:1"), self.streams)
        self.assertEqual(self.inheritance.take("web", "a:1"), [])
        self.assertEqual(self.inheritance.take("dns", "a:53", socket.SOCK_DGRAM), [self.datagram])
        self.assertEqual((self.inheritance.secret, self.inheritance.state), ("s", [1]))
        self.inheritance.ready()
        for descriptor in (*self.streams, self.datagram):
            os.close(descriptor)

    def test_reports(self) -> None:
        """The process before is told who we are and that we are ready; what we did not want is closed."""
        self.inheritance.began()
        self.inheritance.ready()
        self.inheritance.ready()
        self.assertEqual(os.read(self.read, 1000), b"pid %d\nready\n" % os.getpid())
        self.assertEqual(os.read(self.read, 1000), b"")
        for descriptor in (*self.streams, self.datagram):
            self.assertRaises(OSError, os.fstat, descriptor)

    def test_failure(self) -> None:
        """An error on the way is told on one line, and goes on."""

        def fail() -> None:
            with telling(self.inheritance):
                raise BalancerError("no\n  way")

        self.assertRaises(BalancerError, fail)
        self.assertEqual(os.read(self.read, 1000), b"failed no way\n")

    def test_nothing(self) -> None:
        """A process that takes over from none has nothing, and tells nobody."""
        inheritance = Inheritance.of_environment({})
        self.assertEqual(inheritance.take("web", "a:1"), [])
        inheritance.began()
        inheritance.ready()
        self.assertEqual(repr(inheritance), "<Inheritance of 0 sockets>")
        self.inheritance.ready()
