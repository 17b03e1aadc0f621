"""Tests of who gets a second attempt."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from balancer.pools.another import another
from balancer.pools.outliers import Passive
from balancer.pools.server import Server
from tests.pools.pieces import Watched, session


class AnotherTests(TestCase):
    def setUp(self) -> None:
        self.watched = Watched("abcd", passive=Passive(failures=3))
        self.a, self.b, self.c, self.d = self.watched.servers

    def names(self, *tried: Server) -> set[str]:
        """The names of those that may get the attempt."""
        found = (another(self.watched.pool, session(), tried) for _ in range(100))
        return {"none" if one is None else one.name for one in found}

    def test_not_tried(self) -> None:
        """Any that was not tried, as long as nothing bad is known."""
        self.assertEqual(self.names(self.a), {"b", "c", "d"})

    def test_those_that_failed_last(self) -> None:
        """One whose latest exchange has failed is passed over, until one goes well."""
        self.watched.fail(self.b)
        self.assertEqual(self.names(self.a), {"c", "d"})
        self.watched.succeed(self.b)
        self.assertEqual(self.names(self.a), {"b", "c", "d"})

    def test_on_probation(self) -> None:
        """So is one that has just returned from an ejection."""
        self.watched.fail(self.b, 3)
        self.watched.clock.advance(10)
        self.assertTrue(self.b.open)
        self.assertEqual(self.names(self.a), {"c", "d"})

    def test_all_have_failed(self) -> None:
        """Where all that are left have failed, any of them will do."""
        for one in self.watched.servers:
            self.watched.fail(one)
        self.assertEqual(self.names(self.a, self.b), {"c", "d"})

    def test_all_were_tried(self) -> None:
        """Where all were tried, any but the last; and if there is no other, that one."""
        self.assertEqual(self.names(*self.watched.servers), {"a", "b", "c"})
        for one in (self.a, self.b, self.c):
            one.drain()
        self.assertEqual(self.names(self.d), {"d"})

    def test_nobody(self) -> None:
        """None where the pool has nobody."""
        for one in self.watched.servers:
            one.drain()
        self.assertEqual(self.names(self.d), {"none"})
