"""Tests for :mod:`balancer.pools.idle`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.pools.idle import IdleConnections, KeepAlive


class _Connection:
    def __init__(self, expires: float = 100.0, whom: bytes = b"") -> None:
        self.expires = expires
        self.whom = whom
        self.closed = False

    def close(self) -> None:
        self.closed = True


class IdleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.idle = IdleConnections(KeepAlive(size=2))

    def test_last_in_first_out(self) -> None:
        one, two = _Connection(), _Connection()
        self.assertTrue(self.idle.put(one, 0) and self.idle.put(two, 0))
        self.assertEqual([self.idle.take(1), self.idle.take(1), self.idle.take(1)], [two, one, None])

    def test_bounded(self) -> None:
        """What has no room is not kept; the caller closes it."""
        self.assertEqual([self.idle.put(_Connection(), 0) for _ in range(3)], [True, True, False])
        self.assertEqual(len(self.idle), 2)

    def test_age(self) -> None:
        """What is too old is not kept, and not given out."""
        self.assertFalse(self.idle.put(_Connection(5.0), 5.0))
        old = _Connection(5.0)
        self.idle.put(old, 0)
        self.assertIsNone(self.idle.take(6.0))
        self.assertTrue(old.closed)

    def test_forget(self) -> None:
        """A connection that the server closed is left out; one that is not here is nobody's loss."""
        one = _Connection()
        self.idle.put(one, 0)
        self.idle.forget(one)
        self.idle.forget(one)
        self.assertIsNone(self.idle.take(1))

    def test_giving_up(self) -> None:
        """Those that have waited longest go first."""
        one, two = _Connection(), _Connection()
        self.idle.put(one, 0)
        self.idle.put(two, 0)
        self.assertEqual((self.idle.give_up(1), one.closed, two.closed, len(self.idle)), (1, True, False, 1))
        self.assertEqual((self.idle.give_up(9), two.closed, len(self.idle), self.idle.give_up(9)), (1, True, 0, 0))

    def test_close(self) -> None:
        one, two = _Connection(), _Connection(whom=b"a")
        self.idle.put(one, 0)
        self.idle.put(two, 0)
        self.idle.close()
        self.assertTrue(one.closed and two.closed)
        self.assertFalse(self.idle.put(_Connection(), 0) or self.idle.put(_Connection(whom=b"a"), 0))
        self.assertEqual((len(self.idle), repr(self.idle)), (0, "<IdleConnections 0 of 2>"))


class OwnedTests(SynchronousTestCase):
    """Connections that are one client's."""

    def setUp(self) -> None:
        self.idle = IdleConnections(KeepAlive(size=3))

    def test_nobody_elses(self) -> None:
        """A connection of one client is given to that client, and to nobody else."""
        anybodys, one, two, twos = _Connection(), _Connection(whom=b"1"), _Connection(whom=b"2"), _Connection(whom=b"2")
        self.idle.put(one, 0)
        self.idle.put(two, 0)
        self.assertIsNone(self.idle.take(1))
        self.assertIsNone(self.idle.take_for(b"3", 1))
        self.idle.put(anybodys, 0)
        self.assertEqual(len(self.idle), 3)
        self.assertIs(self.idle.take_for(b"1", 1), one)
        self.assertIsNone(self.idle.take_for(b"1", 1))
        self.idle.put(twos, 0)
        self.assertEqual([self.idle.take_for(b"2", 1) for _ in range(3)], [twos, two, None])
        self.assertEqual((self.idle.take(1), len(self.idle)), (anybodys, 0))

    def test_room(self) -> None:
        """Where there is no room, the one that has waited longest makes some; of those that are anybody's none does."""
        owned = [_Connection(whom=b"%d" % (number % 3)) for number in range(4)]
        self.assertEqual([self.idle.put(each, 0) for each in owned], [True] * 4)
        self.assertEqual([each.closed for each in owned], [True, False, False, False])
        self.assertEqual(len(self.idle), 3)
        full = IdleConnections(KeepAlive(size=1))
        full.put(_Connection(), 0)
        self.assertFalse(full.put(owned[1], 0))
        self.assertFalse(IdleConnections(KeepAlive(size=0)).put(owned[1], 0))

    def test_the_last_to_come(self) -> None:
        """A client that goes on using its connections keeps them while others' make room."""
        one, two, three = _Connection(whom=b"1"), _Connection(whom=b"2"), _Connection(whom=b"3")
        for each in (one, two, three):
            self.idle.put(each, 0)
        taken = self.idle.take_for(b"1", 1)
        assert taken is one
        self.idle.put(one, 1)
        self.idle.put(_Connection(whom=b"4"), 1)
        self.assertEqual([one.closed, two.closed, three.closed], [False, True, False])

    def test_age(self) -> None:
        old = _Connection(5.0, b"1")
        self.idle.put(old, 0)
        self.assertIsNone(self.idle.take_for(b"1", 6.0))
        self.assertTrue(old.closed)

    def test_forget(self) -> None:
        one, two = _Connection(whom=b"1"), _Connection(whom=b"1")
        self.idle.put(one, 0)
        self.idle.put(two, 0)
        self.idle.forget(one)
        self.idle.forget(one)
        self.assertEqual((self.idle.take_for(b"1", 1), self.idle.take_for(b"1", 1), len(self.idle)), (two, None, 0))
        self.assertFalse(one.closed)

    def test_giving_up(self) -> None:
        """Those that are one client's go before those that may carry anybody's."""
        anybodys, one, two = _Connection(), _Connection(whom=b"1"), _Connection(whom=b"2")
        for each in (anybodys, one, two):
            self.idle.put(each, 0)
        self.assertEqual((self.idle.give_up(1), one.closed, anybodys.closed), (1, True, False))
        self.assertEqual((self.idle.give_up(5), two.closed, anybodys.closed), (2, True, True))

    def test_time(self) -> None:
        """They wait for seconds, not longer than others."""
        self.assertEqual((KeepAlive().idle_for_one, KeepAlive(idle=2.0).idle_for_one), (5.0, 2.0))
