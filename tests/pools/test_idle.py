"""Tests for :mod:`balancer.pools.idle`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.pools.idle import IdleConnections, KeepAlive


class _Connection:
    whom = b""

    def __init__(self, expires: float = 100.0) -> None:
        self.expires = expires
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
        one = _Connection()
        self.idle.put(one, 0)
        self.idle.close()
        self.assertTrue(one.closed)
        self.assertFalse(self.idle.put(_Connection(), 0))


class OwnedTests(SynchronousTestCase):
    """Connections that are one client's."""

    def setUp(self) -> None:
        self.idle = IdleConnections(KeepAlive(size=3))

    def put(self, whom: bytes, expires: float = 100.0) -> _Connection:
        connection = _Connection(expires)
        connection.whom = whom
        self.assertTrue(self.idle.put(connection, 0.0))
        return connection

    def test_for_nobody_else(self) -> None:
        """Each is for its client, the last first; nobody's are for everybody."""
        one, two, three = self.put(b"a"), self.put(b"a"), self.put(b"b")
        self.assertIsNone(self.idle.take(0.0))
        self.assertIs(self.idle.take_for(b"a", 0.0), two)
        self.assertIs(self.idle.take_for(b"b", 0.0), three)
        self.assertIs(self.idle.take_for(b"a", 0.0), one)
        self.assertIsNone(self.idle.take_for(b"a", 0.0))
        self.assertEqual(len(self.idle), 0)

    def test_room(self) -> None:
        """Where there are too many the one that has waited longest makes room; those too old are closed."""
        first = self.put(b"a")
        for whom in (b"b", b"c", b"d"):
            self.put(whom)
        self.assertTrue(first.closed)
        self.assertEqual(len(self.idle), 3)
        old = self.put(b"e", 1.0)
        self.assertIsNone(self.idle.take_for(b"e", 2.0))
        self.assertTrue(old.closed)
        self.assertEqual(self.idle.give_up(1), 1)
        last = self.put(b"f")
        self.idle.forget(last)
        self.assertIsNone(self.idle.take_for(b"f", 0.0))
        self.idle.close()
        self.assertEqual(len(self.idle), 0)
