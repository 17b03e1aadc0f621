"""What a pool has found out by its own traffic, and how an operator ends it."""

from __future__ import annotations

import json

from twisted.trial.unittest import TestCase

from balancer.pools.circuit import TripSettings
from balancer.pools.findings import findings, restore
from balancer.pools.outliers import Passive
from tests.pools.pieces import Guarded, Watched


class FindingsTests(TestCase):
    """In a pool with both."""

    def setUp(self) -> None:
        self.watched = Guarded("abc", trip=TripSettings(min_requests=4), passive=Passive(failures=6))

    def told(self) -> list[tuple[str, str, str]]:
        return [(each["server"], each["what"], each["state"]) for each in findings(self.watched.pool)]

    def test_good(self) -> None:
        """There is nothing to tell of servers that are well."""
        for one in self.watched.servers:
            self.watched.succeed(one)
        self.assertEqual(self.told(), [])
        self.assertEqual(findings(Watched("ab").pool), [])

    def test_both(self) -> None:
        """Breakers and outliers are told side by side, as plain values."""
        a, b, _ = self.watched.servers
        self.watched.fail(a, 4)
        self.watched.fail(b, 1)
        self.assertEqual(
            self.told(),
            [
                ("a", "breaker", "open"),
                ("a", "outlier", "in use"),
                ("b", "breaker", "closed"),
                ("b", "outlier", "in use"),
            ],
        )
        self.watched.fail(a, 2)
        self.assertEqual(self.told()[1], ("a", "outlier", "ejected"))
        found = findings(self.watched.pool)
        self.assertEqual(json.loads(json.dumps(found)), found)

    def test_restore(self) -> None:
        """One server, or all; what was done is returned, and everything counted is forgotten."""
        a, b, c = self.watched.servers
        self.watched.fail(a, 6)
        self.watched.fail(b, 4)
        self.watched.fail(c, 3)
        self.assertEqual(self.watched.chosen(), {"c"})
        self.assertEqual(restore(self.watched.pool, a), [["a", "ejection"], ["a", "breaker"]])
        self.assertEqual(self.watched.chosen(), {"a", "c"})
        self.assertEqual(restore(self.watched.pool), [["b", "breaker"]])
        self.assertEqual(self.watched.chosen(), {"a", "b", "c"})
        self.assertEqual(restore(self.watched.pool), [])
        self.watched.fail(c)
        self.assertEqual(c.state, "up")

    def test_pool(self) -> None:
        """The breaker of the whole pool has no server, and is closed with the pool."""
        watched = Guarded("ab", trip=TripSettings(min_requests=4, of="pool"))
        watched.fail(watched.servers[0], 4)
        self.assertEqual([(each["server"], each["state"]) for each in findings(watched.pool)], [("", "open")])
        self.assertEqual(restore(watched.pool, watched.servers[0]), [])
        self.assertEqual(restore(watched.pool), [["", "breaker"]])

    def test_down(self) -> None:
        """What probes say is not for an operator to end."""
        a = self.watched.servers[0]
        a.healthy, a.reason = False, "refused"
        self.watched.pool.refresh()
        self.watched.fail(a, 6)
        restore(self.watched.pool)
        self.assertEqual(a.state, "down")

    def test_nothing_to_find(self) -> None:
        """A pool without policies has nothing to restore."""
        self.assertEqual(restore(Watched("ab").pool), [])
