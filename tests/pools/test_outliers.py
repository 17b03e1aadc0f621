"""Tests of passive detection."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from balancer.pools.deviation import Deviation
from balancer.pools.events import ServerEjected
from balancer.pools.outliers import Passive
from tests.pools.pieces import Guarded, Kept, Watched


class OutlierTests(TestCase):
    """Servers that fail real traffic."""

    def watched(self, names: str = "ab", **settings: Any) -> Watched:
        """A pool that ejects."""
        return Watched(names, passive=Passive(**settings))

    def test_ejected(self) -> None:
        """Five failures in a row leave a server out for ten seconds."""
        watched = self.watched()
        bad = watched.servers[0]
        watched.fail(bad, 4)
        self.assertEqual(watched.chosen(), {"a", "b"})
        watched.fail(bad)
        self.assertEqual(watched.chosen(), {"b"})
        self.assertEqual(bad.state, "ejected")
        self.assertEqual(watched.events, [ServerEjected("web", "a", "failed, 5 in a row", 10.0)])
        watched.clock.advance(9.9)
        self.assertEqual(watched.chosen(), {"b"})
        watched.clock.advance(0.1)
        self.assertEqual(watched.chosen(), {"a", "b"})
        self.assertEqual(watched.kinds(), ["server_ejected", "server_returned"])

    def test_success_clears(self) -> None:
        """A success in between begins the count again."""
        watched = self.watched()
        bad = watched.servers[0]
        for _ in range(5):
            watched.fail(bad, 4)
            watched.succeed(bad)
        self.assertEqual(watched.kinds(), [])

    def test_connect_failures(self) -> None:
        """Connections that fail count as well, and are named."""
        watched = self.watched(failures=2)
        bad = watched.servers[0]
        for _ in range(2):
            watched.pool.begin(bad)
            watched.pool.end(bad, -1.0, ok=False, failed_connect=True)
        self.assertEqual(bad.reason, "connecting failed, 2 in a row")
        self.assertEqual((bad.failures, bad.connect_failures), (2, 2))

    def test_window(self) -> None:
        """Failures that are far apart do not add up."""
        watched = self.watched(failures=2, window=30.0)
        bad = watched.servers[0]
        watched.fail(bad)
        watched.clock.advance(31)
        watched.fail(bad)
        self.assertEqual(watched.kinds(), [])
        watched.fail(bad)
        self.assertEqual(watched.kinds(), ["server_ejected"])

    def test_kept_connections_are_closed(self) -> None:
        """What was kept to a server that is ejected may be what fails: it comes back to new ones."""
        watched = self.watched(failures=3)
        bad, kept, later = watched.servers[0], Kept(), Kept()
        bad.idle.put(kept, 0)
        watched.fail(bad, 2)
        self.assertFalse(kept.closed)
        watched.fail(bad)
        self.assertTrue(kept.closed)
        self.assertTrue(bad.idle.put(later, 0))
        self.assertIs(bad.idle.take(1), later)

    def test_probation_and_growth(self) -> None:
        """One failure after its return ejects a server again, for twice as long each time, up to a limit."""
        watched = self.watched(failures=3, eject=10.0, window=1000.0)
        bad = watched.servers[0]
        watched.fail(bad, 3)
        for _ in range(6):
            watched.clock.advance(bad.ejected_until - watched.clock.seconds())
            watched.fail(bad)
        spans = [event.seconds for event in watched.events if isinstance(event, ServerEjected)]
        self.assertEqual(spans, [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0])

    def test_restore(self) -> None:
        """By hand it returns at once, not on probation, and the next ejection is the first."""
        watched = self.watched(failures=3)
        bad, good = watched.servers
        outliers = watched.pool.outliers
        assert outliers is not None
        watched.fail(bad, 3)
        self.assertTrue(outliers.restore(bad, "by hand"))
        self.assertEqual((bad.state, bad.reason, watched.chosen()), ("up", "", {"a", "b"}))
        self.assertEqual(str(watched.events[-1]), "server a of pool web returned: by hand")
        self.assertEqual(watched.clock.getDelayedCalls(), [])
        watched.fail(bad, 2)
        self.assertFalse(outliers.restore(bad, "by hand"))  # which forgets the two
        self.assertFalse(outliers.restore(good, "by hand"))
        watched.kinds()
        watched.fail(bad, 2)
        self.assertEqual(watched.kinds(), [])
        watched.fail(bad)
        self.assertEqual(bad.ejected_until, 10.0)

    def test_report(self) -> None:
        """Ejected by what, since when, for how long, how often; else what is counted."""
        watched = self.watched(failures=3)
        bad = watched.servers[0]
        outliers = watched.pool.outliers
        assert outliers is not None
        watched.fail(bad, 2)
        told = outliers.report(bad)
        self.assertEqual((told["state"], told["failures"], told["since"], told["left"]), ("in use", 2, None, None))
        watched.fail(bad)
        watched.clock.advance(4.0)
        told = outliers.report(bad)
        self.assertEqual((told["state"], told["kind"], told["since"], told["left"]), ("ejected", "failures", 4.0, 6.0))
        self.assertEqual((told["reason"], told["ejections"]), ("failed, 3 in a row", 1))

    def test_off_probation(self) -> None:
        """A success after its return makes it as good as the others."""
        watched = self.watched(failures=3)
        bad = watched.servers[0]
        watched.fail(bad, 3)
        watched.clock.advance(10)
        watched.succeed(bad)
        watched.fail(bad, 2)
        self.assertEqual(bad.state, "up")

    def test_good_times_are_counted(self) -> None:
        """After a long time without ejection the span begins small again."""
        watched = self.watched(failures=1, window=30.0)
        bad = watched.servers[0]
        watched.fail(bad)
        watched.clock.advance(10)
        watched.fail(bad)
        watched.clock.advance(20)
        watched.clock.advance(120)
        watched.fail(bad)
        spans = [event.seconds for event in watched.events if isinstance(event, ServerEjected)]
        self.assertEqual(spans, [10.0, 20.0, 10.0])

    def test_at_most_half(self) -> None:
        """No more than half of the pool is ejected, however many fail."""
        watched = self.watched("abcde", failures=1)
        for one in watched.servers:
            watched.fail(one)
        self.assertEqual([one.state for one in watched.servers], ["ejected", "ejected", "up", "up", "up"])

    def test_the_only_server_stays(self) -> None:
        """A single server is never ejected: there is nobody else."""
        watched = self.watched("a")
        watched.fail(watched.servers[0], 100)
        self.assertEqual(watched.servers[0].state, "up")

    def test_all_may_be_ejected(self) -> None:
        """With 100 % all may, and then panic uses them all the same."""
        watched = self.watched("ab", failures=1, max_ejected=1.0)
        for one in watched.servers:
            watched.fail(one)
        self.assertEqual(watched.chosen(), {"a", "b"})
        self.assertEqual(watched.kinds(), ["server_ejected", "server_ejected", "panic_began"])

    def test_late_failures(self) -> None:
        """What was in flight when the server was ejected does not eject it again."""
        watched = self.watched(failures=2)
        bad = watched.servers[0]
        watched.fail(bad, 20)
        self.assertEqual(watched.kinds(), ["server_ejected"])

    def test_off(self) -> None:
        """Without passive detection nobody is ejected."""
        watched = Watched("ab")
        watched.fail(watched.servers[0], 100)
        self.assertEqual(watched.chosen(), {"a", "b"})

    def test_stop(self) -> None:
        """A stopped pool leaves no delayed calls behind."""
        watched = self.watched(failures=1)
        watched.fail(watched.servers[0])
        watched.pool.stop()
        self.assertEqual(watched.clock.getDelayedCalls(), [])

    def test_longest(self) -> None:
        """However often it fails, a server stays out no longer than ``max_eject``."""
        watched = self.watched(failures=1, eject=10.0, max_eject=15.0, window=1000.0)
        bad = watched.servers[0]
        for _ in range(3):
            watched.fail(bad)
            watched.clock.advance(20.0)
        spans = [event.seconds for event in watched.events if isinstance(event, ServerEjected)]
        self.assertEqual(spans, [10.0, 15.0, 15.0])

    def test_not_enforced(self) -> None:
        """What is not enforced is told and counted, and changes nothing."""
        watched = self.watched(failures=2, enforce={"failures": 0.0})
        watched.fail(watched.servers[0], 4)
        self.assertEqual(watched.kinds(), ["server_suspected", "server_suspected"])
        outliers = watched.pool.outliers
        assert outliers is not None
        self.assertEqual((outliers.found["failures"], outliers.ejected["failures"]), (2, 0))
        self.assertEqual(watched.chosen(), {"a", "b"})


class ComparingTests(TestCase):
    """Servers that do worse than the others."""

    def watched(self, names: str = "abcde", **settings: Any) -> Watched:
        """A pool that looks at everything."""
        return Guarded(names, passive=Passive(**settings))

    def answer(self, watched: Watched, index: int, count: int, status: int = 200, seconds: float = 0.01) -> None:
        """Let a server answer so many times."""
        one = watched.servers[index]
        for _ in range(count):
            watched.pool.begin(one)
            watched.pool.end(one, seconds, status not in (502, 503, 504), False, status if status >= 500 else 0)

    def test_5xx_in_row(self) -> None:
        """Answers of 500 in a row eject; one of 200 in between begins the row again; after its return one is enough."""
        watched = self.watched("ab", consecutive_5xx=3)
        for status, count in ((500, 2), (200, 1), (501, 2)):
            self.answer(watched, 0, count, status)
        self.assertEqual(watched.kinds(), [])
        self.answer(watched, 0, 1, 500)
        self.assertEqual(watched.servers[0].reason, "answered 5xx or not at all, 3 in a row")
        watched.clock.advance(10.0)
        self.answer(watched, 0, 1, 500)
        self.assertEqual(watched.kinds(), ["server_ejected", "server_returned", "server_ejected"])

    def test_success_rate(self) -> None:
        """Who answers a share of requests with 500 that the others do not is found each interval."""
        watched = self.watched(success_rate=Deviation(min_requests=100))
        for index in range(5):
            self.answer(watched, index, 99)
            self.answer(watched, index, 1, 500 if index == 2 else 200)
        self.assertEqual(watched.kinds(), [])
        watched.clock.advance(10.0)
        self.assertEqual([one.state for one in watched.servers], ["up", "up", "ejected", "up", "up"])
        self.assertEqual(watched.servers[2].reason, "99.0% went well, less than 99.0%")
        watched.clock.advance(10.0)
        self.assertEqual(watched.servers[2].failures_in_row, 0)
        self.assertEqual(watched.kinds(), ["server_ejected", "server_returned"])

    def test_all_alike(self) -> None:
        """When all fail alike nobody is an outlier."""
        watched = self.watched(success_rate=Deviation())
        for index in range(5):
            self.answer(watched, index, 50)
            self.answer(watched, index, 50, 500)
        watched.clock.advance(10.0)
        self.assertEqual(watched.kinds(), [])

    def test_volume(self) -> None:
        """Servers with few requests are left out, and if too few are left, nothing is compared."""
        watched = self.watched(success_rate=Deviation(min_requests=100))
        for index in range(4):
            self.answer(watched, index, 100)
        self.answer(watched, 4, 99, 500)
        watched.clock.advance(10.0)
        self.assertEqual(watched.kinds(), [])

    def test_intervals(self) -> None:
        """Each interval is for itself, and nothing is scheduled while there is no traffic."""
        watched = self.watched(success_rate=Deviation(min_requests=100))
        for _ in range(2):
            for index in range(5):
                self.answer(watched, index, 60, 500 if index == 0 else 200)
            watched.clock.advance(10.0)
        self.assertEqual(watched.kinds(), [])
        self.assertEqual(watched.clock.getDelayedCalls(), [])

    def test_latency(self) -> None:
        """Who is far slower than the others is ejected."""
        watched = self.watched(latency=Deviation(min_requests=10, ratio=2.0))
        for index in range(5):
            self.answer(watched, index, 10, seconds=0.5 if index == 4 else 0.01)
        watched.clock.advance(10.0)
        self.assertEqual(watched.servers[4].state, "ejected")
        self.assertEqual(watched.servers[4].reason, "took 0.5 s on average, more than 0.48 s")

    def test_reload(self) -> None:
        """A reload keeps what was counted, of servers that stay."""
        before = self.watched(consecutive_5xx=3)
        self.answer(before, 0, 2, 500)
        after = Guarded("abcde", clock=before.clock, passive=Passive(consecutive_5xx=3))
        after.pool.adopt(before.pool)
        after.servers = list(after.pool.servers)
        self.answer(after, 0, 1, 500)
        self.assertEqual(after.kinds(), ["server_ejected"])
        after.pool.stop()
        self.assertEqual(before.clock.getDelayedCalls(), [])
