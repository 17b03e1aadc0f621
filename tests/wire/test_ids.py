"""Tests for :mod:`balancer.wire.ids`."""

from __future__ import annotations

import os
import time
from uuid import UUID

from twisted.trial.unittest import SynchronousTestCase

from balancer.wire.ids import new_id


class IdTests(SynchronousTestCase):
    def test_uuid7(self) -> None:
        """Valid UUIDs of version 7 (RFC 9562), none twice, in the order of time."""
        before = time.time_ns() // 1_000_000
        ids = [new_id() for _ in range(2000)]
        after = time.time_ns() // 1_000_000
        self.assertEqual(len(set(ids)), 2000)
        for text in ids:
            found = UUID(text)
            self.assertEqual((str(found), found.variant, found.version), (text, "specified in RFC 4122", 7))
            self.assertTrue(before <= found.int >> 80 <= after)

    def test_fork(self) -> None:
        """A child process has randomness of its own."""
        new_id()
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(writing, new_id().encode())
            os._exit(0)
        os.waitpid(pid, 0)
        child = os.read(reading, 36).decode()
        os.close(reading)
        os.close(writing)
        self.assertNotEqual(child[14:], new_id()[14:])
