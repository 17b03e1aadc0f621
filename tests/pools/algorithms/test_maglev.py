"""Tests of Maglev hashing."""

from __future__ import annotations

from pydantic import ValidationError
from twisted.trial.unittest import TestCase

from balancer.pools.algorithms.maglev import Maglev, MaglevSettings, _table_of
from tests.pools.algorithms.hashing_promises import Promises
from tests.pools.pieces import first, keys, server, servers

_SMALL = MaglevSettings(table_size=5003)


class MaglevTests(Promises, TestCase):
    """By a table that the servers fill in turn."""

    tolerance = 0.04
    moved = 0.15  # with tables as small as here
    golden = "aeceadecddcdaadccbbdbdecdbdacddadbbeaeed"
    golden_weighted = "ccccccbcccccaaccccbcbccccbcccccacbbcacbc"

    def make(self) -> Maglev:
        """Return the algorithm, with a table that is quick to build."""
        return Maglev(_SMALL)

    def make_even(self) -> Maglev:
        """Return the algorithm with its default table."""
        return Maglev()

    def test_golden(self) -> None:
        """With the default table these keys have led to these servers since the first release."""
        algorithm = Maglev()
        algorithm.prepare(servers("abcde"))
        self.assertEqual("".join(first(algorithm, key) for key in keys(40)), self.golden)
        algorithm.prepare([server("a", 1), server("b", 2), server("c", 5)])
        self.assertEqual("".join(first(algorithm, key) for key in keys(40)), self.golden_weighted)

    def test_table_is_even(self) -> None:
        """Slots differ by one at most among equals, and follow weights."""
        table = _table_of((("a", 1), ("b", 1), ("c", 1)), 5003)
        self.assertEqual(sorted(table.count(index) for index in range(3)), [1667, 1668, 1668])
        table = _table_of((("a", 1), ("b", 4)), 5003)
        self.assertApproximates(table.count(0), 5003 / 5, 2)

    def test_few_slots_move(self) -> None:
        """When one of ten leaves the default table, under four percent of the slots of the others change hands."""
        members = tuple((f"server-{number}", 1) for number in range(10))
        before, after = _table_of(members, 65537), _table_of(members[:-1], 65537)
        moved = sum(one != other for one, other in zip(before, after, strict=True) if one != 9)
        self.assertLess(moved / 65537, 0.04)

    def test_too_light_for_a_slot(self) -> None:
        """A server without any slot is still there when all others fail."""
        algorithm = Maglev(MaglevSettings(table_size=7))
        algorithm.prepare([server("a", 1), server("b", 1000)])
        self.assertEqual([one.name for one in algorithm._walk(3)], ["b", "a"])

    def test_size_is_prime(self) -> None:
        """Only a prime makes every order of preference complete."""
        for wrong in (65536, 1, 0, 5_000_012, "large"):
            with self.assertRaises(ValidationError):
                MaglevSettings.model_validate({"table_size": wrong})
        self.assertEqual(MaglevSettings(table_size=655373).table_size, 655373)
