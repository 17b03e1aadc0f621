"""Counts that several processes keep together."""

from __future__ import annotations

import os
import random

from twisted.trial.unittest import TestCase

from balancer.service.workers.shared_counts import BUCKET, Geometry, SharedCounts, shared_memory


class SharedCountsTests(TestCase):
    def setUp(self) -> None:
        self.geometry = Geometry(rows=4, columns=8, buckets=64)
        memory = shared_memory(self.geometry)
        self.addCleanup(os.close, memory)
        # As a master and two workers map it.
        self.master, self.one, self.two = (SharedCounts(memory, self.geometry, b"secret") for _ in range(3))

    def test_columns(self) -> None:
        """Everybody sees the sum of what each has put, in rows that were taken."""
        rows = [self.master.take_row(), self.master.take_row()]
        self.assertEqual(rows, [0, 1])
        self.one.row(0).put(3, 5)
        self.two.row(1).put(3, 7)
        self.two.row(1).put(4, 1)
        for counts in (self.master, self.one, self.two):
            self.assertEqual([counts.total(column) for column in (3, 4, 5)], [12, 1, 0])

    def test_rows(self) -> None:
        """A row that is given back is cleared, and the next to be taken; there are only so many."""
        for _ in range(4):
            self.master.take_row()
        self.assertRaises(ValueError, self.master.take_row)
        key = self.one.key(1, "192.0.2.1")
        row = self.one.row(2)
        row.put(0, 9)
        row.put_client(row.place(key), 3)
        self.assertEqual((self.master.total(0), self.master.clients(key)), (9, 3))
        self.master.give_row_back(2)
        self.assertEqual((self.one.total(0), self.one.clients(key)), (0, 0))
        self.assertEqual(self.master.take_row(), 2)

    def test_clients(self) -> None:
        """Clients are told apart, by column as well, and counted over all rows; a place that is free is used again."""
        self.master.take_row()
        self.master.take_row()
        one, two = self.one.row(0), self.two.row(1)
        keys = [self.one.key(column, client) for column in (0, 1) for client in ("192.0.2.1", "192.0.2.2")]
        self.assertEqual(len(set(keys)), 4)
        self.assertEqual(keys[0], self.two.key(0, "192.0.2.1"))
        self.assertNotEqual(
            keys[0], SharedCounts(shared_memory(self.geometry), self.geometry, b"other").key(0, "192.0.2.1")
        )
        places = [one.place(keys[0])]
        one.put_client(places[0], 2)
        two.put_client(two.place(keys[0]), 3)
        two.put_client(two.place(keys[1]), 4)
        self.assertEqual([self.master.clients(key) for key in keys], [5, 4, 0, 0])
        one.put_client(places[0], 0)
        self.assertEqual(self.master.clients(keys[0]), 3)
        self.assertEqual(one.place(keys[0]), places[0])

    def test_against_a_dictionary(self) -> None:
        """With a quarter of the places taken, as laid out, clients that come and go are all counted right."""
        self.master.take_row()
        row = self.one.row(0)
        draw = random.Random(7)
        there: dict[int, tuple[int, int]] = {}
        for _ in range(3000):
            key = self.one.key(0, f"10.0.0.{draw.randrange(128)}")
            place, count = there.get(key) or (row.place(key), 0)
            count = max(0, count + draw.choice((1, 1, -1, -1)))
            row.put_client(place, count)
            if count:
                there[key] = (place, count)
            else:
                there.pop(key, None)
            self.assertNotEqual(place, -1)
        for key, (_, count) in there.items():
            self.assertEqual(self.two.clients(key), count)

    def test_no_place(self) -> None:
        """A client that finds no place is counted by its process alone."""
        self.master.take_row()
        row = self.one.row(0)
        taken = 0
        while (place := row.place(key := self.one.key(0, f"client {taken}"))) != -1:
            row.put_client(place, 1)
            taken += 1
        self.assertGreater(taken, 64 * BUCKET // 4)
        row.put_client(place, 5)
        self.assertEqual(self.master.clients(key), 0)
        self.assertEqual(row.client(key, place, 5), 5)

    def test_geometry(self) -> None:
        """Rows are whole pages, so that one can be cleared without its neighbours."""
        self.assertEqual(self.geometry.stride * 8 % os.sysconf("SC_PAGE_SIZE"), 0)
        self.assertEqual(self.geometry.size % os.sysconf("SC_PAGE_SIZE"), 0)
