"""Limits that workers keep together: two of them here, each with its own row of the same counts."""

from __future__ import annotations

import os

from twisted.trial.unittest import TestCase

from balancer.service.workers.limits import ServerShare, SharedGate
from balancer.service.workers.shared_counts import Geometry, Row, SharedCounts, shared_memory


class LimitsTestCase(TestCase):
    def setUp(self) -> None:
        geometry = Geometry(rows=2, columns=8, buckets=64)
        memory = shared_memory(geometry)
        self.addCleanup(os.close, memory)
        self.counts = SharedCounts(memory, geometry, b"secret")
        self.rows: list[Row] = [SharedCounts(memory, geometry, b"secret").row(self.counts.take_row()) for _ in range(2)]


class SharedGateTests(LimitsTestCase):
    def test_connections(self) -> None:
        """All workers together have no more than the limit; what one leaves another may have."""
        one, two = (SharedGate(row, 1, connections=3) for row in self.rows)
        self.assertEqual(
            [one.admit("a"), two.admit("b"), one.admit("c"), two.admit("d"), one.admit("e")], [True] * 3 + [False] * 2
        )
        self.assertEqual((one.active, two.active, one.refused, two.refused), (2, 1, 1, 1))
        one.leave("a")
        self.assertTrue(two.admit("d"))
        self.assertEqual(self.counts.total(1), 3)

    def test_clients(self) -> None:
        """A client has no more than its limit in all workers together; others are let in; unix sockets have none."""
        one, two = (SharedGate(row, 1, per_client=2) for row in self.rows)
        self.assertEqual([one.admit("a"), two.admit("a"), one.admit("a"), two.admit("a")], [True, True, False, False])
        self.assertEqual((one.refused_client, two.refused_client), (1, 1))
        self.assertTrue(one.admit("b"))
        for _ in range(5):
            self.assertTrue(two.admit(""))
        two.leave("a")
        self.assertTrue(one.admit("a"))
        self.assertEqual((one.present("a"), two.present("a")), (2, 0))

    def test_identified(self) -> None:
        """Who was admitted as nobody counts in all workers as the client that it turns out to be, or is refused."""
        above = [SharedGate(row, 0, per_client=2) for row in self.rows]
        one, two = (SharedGate(row, 1, per_client=5, above=up) for row, up in zip(self.rows, above, strict=True))
        self.assertTrue(one.admit("") and two.admit("") and one.admit(""))
        self.assertEqual([one.identify("a"), two.identify("a"), one.identify("a")], [True, True, False])
        self.assertEqual((one.refused_client, above[0].refused_client, one.present(""), one.present("a")), (1, 1, 1, 1))
        self.assertTrue(one.identify("b") and two.identify(""))
        one.leave("b")
        one.leave("a")
        self.assertTrue(two.admit("a"))
        self.assertEqual((self.counts.total(0), self.counts.total(1), one.active, two.present("a")), (2, 2, 0, 2))

    def test_above(self) -> None:
        """What the gate above refuses counts in neither."""
        above = [SharedGate(row, 0, connections=2, per_client=1) for row in self.rows]
        one, two = (SharedGate(row, 1, above=up) for row, up in zip(self.rows, above, strict=True))
        self.assertEqual([one.admit("a"), two.admit("a"), two.admit("b"), one.admit("c")], [True, False, True, False])
        self.assertEqual([self.counts.total(column) for column in (0, 1)], [2, 2])
        self.assertEqual(self.counts.clients(self.counts.key(1, "c")), 0)
        one.leave("a")
        two.leave("b")
        self.assertEqual([self.counts.total(column) for column in (0, 1)], [0, 0])
        self.assertEqual(self.counts.clients(self.counts.key(0, "a")), 0)

    def test_alone(self) -> None:
        """What a process can have for lack of descriptors is its own affair."""
        one, two = (SharedGate(row, 1, alone=1) for row in self.rows)
        self.assertEqual([one.admit("a"), one.admit("a"), two.admit("a")], [True, False, True])

    def test_changed(self) -> None:
        """A limit that is set later counts those who are in already."""
        one, two = (SharedGate(row, 1) for row in self.rows)
        one.admit("a")
        two.admit("a")
        one.per_client = two.per_client = 2
        self.assertEqual([one.admit("a"), two.admit("b")], [False, True])
        one.connections = 3
        self.assertFalse(one.admit("c"))
        self.assertEqual(repr(one), "<Gate 1 of 3, 2 refused>")

    def test_a_worker_that_died(self) -> None:
        """Once its row is given back what it had is free."""
        one, two = (SharedGate(row, 1, connections=2, per_client=2) for row in self.rows)
        self.assertEqual([one.admit("a"), one.admit("a"), two.admit("a")], [True, True, False])
        self.counts.give_row_back(0)
        self.assertTrue(two.admit("a"))


class ServerShareTests(LimitsTestCase):
    def test_room(self) -> None:
        """There is room as long as all together have less than the limit."""
        one, two = (ServerShare(row, 2, most=3) for row in self.rows)
        one.put(1)
        two.put(1)
        self.assertTrue(one.has_room())
        two.put(2)
        self.assertFalse(one.has_room())
        one.put(0)
        self.assertTrue(two.has_room())
