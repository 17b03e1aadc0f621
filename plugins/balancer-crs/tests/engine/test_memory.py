from __future__ import annotations

from balancer_crs.engine.memory import MOST_MEMBERS, Memory
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase


class MemoryTests(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.memory = Memory(self.clock.seconds, 60, most=2)

    def test_records(self) -> None:
        """A record is found again by its key, until nobody asked for it for long enough."""
        self.memory.record("IP", b"a").set(b"n", b"1")
        self.assertEqual(self.memory.record("IP", b"a").current(), {b"n": b"1"})
        self.assertEqual(self.memory.record("IP", b"b").current(), {})
        self.clock.advance(61)
        self.assertEqual(self.memory.record("IP", b"a").current(), {})

    def test_bounds(self) -> None:
        """The record longest unused goes first; a record has so many members."""
        self.memory.record("IP", b"a").set(b"n", b"1")
        self.memory.record("IP", b"b")
        self.memory.record("IP", b"a")
        self.memory.record("IP", b"c")
        self.assertEqual(len(self.memory), 2)
        record = self.memory.record("IP", b"a")
        self.assertEqual(record.current(), {b"n": b"1"})
        for number in range(MOST_MEMBERS + 5):
            record.set(b"%d" % number, b"")
        self.assertEqual(len(record.current()), MOST_MEMBERS)

    def test_members_expire(self) -> None:
        """A member is forgotten when its time has come."""
        record = self.memory.record("IP", b"a")
        record.set(b"n", b"1")
        record.set(b"m", b"1")
        record.expire(b"n", 10)
        record.remove(b"m")
        self.assertEqual(record.current(), {b"n": b"1"})
        self.clock.advance(11)
        self.assertEqual(record.current(), {})
