"""Tests of the pool."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from balancer.errors import ExchangeError
from balancer.hooks.interfaces import Choice, IAlgorithm, IObservingAlgorithm, IProbe, IServer
from balancer.model.keys import Key
from balancer.pools.algorithms.maglev import Maglev, MaglevSettings
from balancer.pools.algorithms.round_robin import RoundRobin
from balancer.pools.health import HealthSettings
from balancer.pools.outliers import Passive
from balancer.pools.queue import QueueSettings
from balancer.pools.sticky import StickyTable
from tests.pools.pieces import Kept, Watched, request, server, session


@implementer(IObservingAlgorithm)
class Noting:
    """An algorithm that takes the first, and notes what it is told."""

    key = None

    def __init__(self, *, stable: bool = False) -> None:
        self.stable = stable
        self.prepared: list[list[str]] = []
        self.outcomes: list[tuple[str, float, bool]] = []
        self.servers: Sequence[IServer] = ()

    def prepare(self, servers: Sequence[IServer]) -> None:
        """Note the servers."""
        self.servers = servers
        self.prepared.append([one.name for one in servers])

    def candidates(self, choice: Choice) -> Iterable[IServer]:
        """Yield them as they come."""
        return iter(self.servers)

    def finished(self, server: IServer, seconds: float, ok: bool) -> None:
        """Note the outcome."""
        self.outcomes.append((server.name, seconds, ok))


@implementer(IAlgorithm)
class Forgetful(Noting):
    """An algorithm that yields nobody."""

    def candidates(self, choice: Choice) -> Iterable[IServer]:
        """Yield nobody."""
        return ()


class ChooseTests(TestCase):
    """Who gets the next request."""

    def test_first_candidate(self) -> None:
        """The algorithm's first is chosen, and nothing is counted."""
        watched = Watched("abc", Noting())
        self.assertIs(watched.pool.choose(session()), watched.servers[0])
        self.assertEqual(watched.servers[0].active, 0)

    def test_not_twice(self) -> None:
        """Those that were tried are passed over; when all were, there is nobody."""
        watched = Watched("abc", Noting())
        one, two, three = watched.servers
        self.assertIs(watched.pool.choose(session(), [one]), two)
        self.assertIs(watched.pool.choose(session(), (one, two)), three)
        self.assertIsNone(watched.pool.choose(session(), watched.servers))
        self.assertFalse(watched.pool.all_full)
        self.assertEqual(watched.pool.refusal(session()).detail, "pool web: 3 tried before")

    def test_full(self) -> None:
        """A server at its limit is passed over."""
        watched = Watched("ab", Noting())
        watched.servers[0].max_connections = 1
        watched.pool.begin(watched.servers[0])
        self.assertIs(watched.pool.choose(session()), watched.servers[1])
        watched.pool.end(watched.servers[0], 0.1, True)
        self.assertIs(watched.pool.choose(session()), watched.servers[0])

    def test_key(self) -> None:
        """The algorithm gets the key that it asks for."""
        watched = Watched("abcdef", Maglev(MaglevSettings(key=Key("header", "x-user"), table_size=503)))
        found = {user: watched.chosen(20, request(x_user=user)) for user in ("ann", "bob", "cleo", "dan", "eve")}
        self.assertTrue(all(len(names) == 1 for names in found.values()))
        self.assertGreater(len(set.union(*found.values())), 1)
        self.assertEqual(len(watched.chosen(200, request())), 6)
        self.assertEqual(len(watched.chosen(200, session())), 6)

    def test_algorithm_forgets(self) -> None:
        """Where the algorithm yields nobody, the least loaded of those that can is taken."""
        watched = Watched("abc", Forgetful())
        watched.servers[0].active = 2
        watched.servers[1].active = 1
        watched.servers[2].drain()
        self.assertIs(watched.pool.choose(session()), watched.servers[1])

    def test_empty(self) -> None:
        """A pool without servers has nobody."""
        watched = Watched([])
        self.assertIsNone(watched.pool.choose(session()))
        self.assertFalse(watched.pool.all_full)


class OpenTests(TestCase):
    """Who may be chosen at all."""

    def down(self, watched: Watched, names: str, *, healthy: bool = False) -> None:
        """Take servers down, or bring them up."""
        for one in watched.servers:
            if one.name in names:
                one.healthy = healthy
        watched.pool.refresh()

    def test_down(self) -> None:
        """A server that is down gets nothing."""
        watched = Watched("abc")
        self.down(watched, "b")
        self.assertEqual(watched.chosen(), {"a", "c"})

    def test_weight_zero(self) -> None:
        """Weights are live; 0 takes nothing new, below is refused."""
        watched = Watched("ab", RoundRobin())
        watched.pool.set_weight(watched.servers[0], 0)
        self.assertEqual(watched.chosen(), {"b"})
        watched.pool.set_weight(watched.servers[0], 3)
        turns = [watched.pool.choose(session()) for _ in range(40)]
        self.assertEqual(turns.count(watched.servers[0]), 30)
        with self.assertRaises(ValueError):
            watched.pool.set_weight(watched.servers[0], -1)

    def test_backups(self) -> None:
        """Backups are used while no other can be, and no longer."""
        watched = Watched([server("a"), server("b"), server("x", backup=True), server("y", backup=True)])
        self.assertEqual(watched.chosen(), {"a", "b"})
        self.down(watched, "ab")
        self.assertEqual(watched.chosen(), {"x", "y"})
        self.assertFalse(watched.pool.in_panic)
        self.down(watched, "b", healthy=True)
        self.assertEqual(watched.chosen(), {"b"})

    def test_backups_of_a_stable_algorithm(self) -> None:
        """A hash is over the backups while they are used, and over the others, all of them, else."""
        algorithm = Noting(stable=True)
        watched = Watched([server("a"), server("b"), server("x", backup=True)], algorithm)
        self.down(watched, "a")
        self.down(watched, "ab")
        self.down(watched, "ab", healthy=True)
        self.assertEqual(algorithm.prepared, [["a", "b"], ["x"], ["a", "b"]])

    def test_unstable_algorithm_sees_the_usable(self) -> None:
        """Others are prepared again at each change, with those that can be used, and only then."""
        algorithm = Noting()
        watched = Watched("abc", algorithm)
        self.down(watched, "b")
        watched.pool.refresh()
        watched.servers[2].drain()
        self.down(watched, "b", healthy=True)
        self.assertEqual(algorithm.prepared, [["a", "b", "c"], ["a", "c"], ["a"], ["a", "b"]])

    def test_panic(self) -> None:
        """When nobody is well everybody is used, but for those that drain; it is told, and ends."""
        watched = Watched([server("a"), server("b"), server("c"), server("x", backup=True)])
        watched.servers[1].drain()
        watched.kinds()
        self.down(watched, "abcx")
        self.assertEqual(watched.chosen(), {"a", "c"})
        self.assertTrue(watched.pool.in_panic)
        self.down(watched, "a", healthy=True)
        self.assertEqual(watched.chosen(), {"a"})
        self.assertEqual(watched.kinds(), ["panic_began", "panic_ended"])

    def test_no_panic(self) -> None:
        """Panic can be forbidden: then there is nobody."""
        watched = Watched("ab", panic=False)
        self.down(watched, "ab")
        self.assertIsNone(watched.pool.choose(session()))
        self.assertEqual(watched.pool.refusal(session()).detail, "pool web: 2 down")

    def test_panic_needs_an_address(self) -> None:
        """A server whose name does not resolve cannot be used in panic either."""
        watched = Watched("ab")
        watched.servers[0].resolved(())
        self.down(watched, "ab")
        self.assertEqual(watched.chosen(), {"b"})

    def test_repr(self) -> None:
        """An operator sees how many are open."""
        watched = Watched("abc", RoundRobin())
        self.down(watched, "a")
        self.assertEqual(repr(watched.pool), "<Pool web 2 of 3 open by <RoundRobin over 2>>")

    def test_told_by_another_process(self) -> None:
        """Who is told by another process that a server went down closes what it kept to it."""
        watched, kept = Watched("a", panic=False), Kept()
        one = watched.servers[0]
        one.idle.put(kept, 0)
        watched.pool.tell(one, True, "", one.endpoints)
        self.assertFalse(kept.closed)
        watched.pool.tell(one, False, "503", one.endpoints)
        self.assertTrue(kept.closed)
        self.assertEqual((one.open, one.reason), (False, "503"))


class TrafficTests(TestCase):
    """What is learnt from traffic."""

    def test_counts(self) -> None:
        """Exchanges are counted as they begin and end."""
        watched = Watched("a")
        one = watched.servers[0]
        watched.pool.begin(one)
        watched.pool.begin(one)
        self.assertEqual((one.active, one.requests), (2, 2))
        watched.pool.end(one, 0.1, ok=False)
        watched.pool.end(one, 0.1, ok=True)
        self.assertEqual((one.active, one.requests, one.failures, one.connect_failures), (0, 2, 1, 0))

    def test_latency(self) -> None:
        """Latency jumps up to a peak and comes down over seconds; what has no first byte says nothing."""
        watched = Watched("a")
        one = watched.servers[0]
        for seconds, age, expected in (
            (0.1, 0, 0.1),
            (0.5, 0, 0.5),
            (0.1, 0, 0.5),
            (0.1, 10, 0.2472),
            (-1.0, 9, 0.2472),
        ):
            watched.clock.advance(age)
            watched.pool.begin(one)
            watched.pool.end(one, seconds, ok=True)
            self.assertApproximates(one.latency, expected, 0.0001)

    def test_algorithm_learns(self) -> None:
        """An algorithm that wants to know is told of every outcome."""
        algorithm = Noting()
        watched = Watched("a", algorithm)
        watched.fail(watched.servers[0])
        watched.succeed(watched.servers[0])
        self.assertEqual(algorithm.outcomes, [("a", -1.0, False), ("a", 0.01, True)])


@implementer(IProbe)
class Well:
    """A probe for which every server is well, but one."""

    def __init__(self, but: str = "") -> None:
        self.but = but
        self.asked = 0

    def probe(self, connect: Any, server: IServer) -> Deferred[str]:
        """Answer at once."""
        self.asked += 1
        if server.name == self.but:
            raise ValueError("unwell")
        return succeed("well")


class AdoptTests(TestCase):
    """A reload: another pool takes over."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.old = self.made("abc")

    def made(self, members: Any = "abc", **options: Any) -> Watched:
        """A pool on the test's clock."""
        return Watched(members, clock=self.clock, **options)

    def test_servers_stay(self) -> None:
        """A server of the same name and address keeps its state, with its new settings."""
        a, b, _ = self.old.servers
        a.requests, b.draining = 7, True
        new = self.made([server("b", 5, max_connections=9), server("a"), server("d")])
        new.pool.adopt(self.old.pool)
        self.assertEqual([one.name for one in new.pool.servers], ["b", "a", "d"])
        self.assertIs(new.pool.servers[0], b)
        self.assertIs(new.pool.servers[1], a)
        self.assertEqual((b.weight, b.max_connections, b.draining, a.requests), (5, 9, True, 7))
        self.assertEqual(new.chosen(), {"a", "d"})

    def test_disabled_by_hand(self) -> None:
        """A server stays disabled through reloads, as long as it is in the file; one that comes back is a new one."""
        a = self.old.servers[0]
        a.disable()
        same = self.made("abc")
        same.pool.adopt(self.old.pool)
        self.assertEqual((a.state, same.chosen()), ("disabled", {"b", "c"}))
        without = self.made("bc")
        without.pool.adopt(same.pool)
        back = self.made("abc")
        back.pool.adopt(without.pool)
        self.assertEqual(back.chosen(), {"a", "b", "c"})

    def test_weight_by_hand(self) -> None:
        """A weight that was set by hand stays through reloads, until the file says another."""
        a = self.old.servers[0]
        self.old.pool.set_weight(a, 0)
        same = self.made("abc")
        same.pool.adopt(self.old.pool)
        self.assertEqual((a.weight, same.chosen()), (0, {"b", "c"}))
        changed = self.made([server("a", 3), server("b"), server("c")])
        changed.pool.adopt(same.pool)
        self.assertEqual(a.weight, 3)
        back = self.made("abc")
        back.pool.adopt(changed.pool)
        self.assertEqual(a.weight, 1)

    def test_other_address_is_another_server(self) -> None:
        """A name at another address begins anew."""
        moved = server("other")
        moved.name = "a"
        new = self.made([moved])
        new.pool.adopt(self.old.pool)
        self.assertIs(new.pool.servers[0], moved)

    def test_idle_connections(self) -> None:
        """Idle connections stay with their server; those of servers that are gone are closed."""
        a, b, c = self.old.servers
        new = self.made("ab")
        new.pool.adopt(self.old.pool)
        self.assertEqual([one.idle.closed for one in (a, b, c)], [False, False, True])
        self.old.pool.close()
        self.assertEqual([one.idle.closed for one in (a, b, c)], [False, False, True])
        new.pool.close()
        self.assertEqual([one.idle.closed for one in (a, b, c)], [True, True, True])

    def test_exchanges_in_flight(self) -> None:
        """What began before the reload ends in the new pool: its count, its queue."""
        old = self.made([server("a", max_connections=1)])
        one = old.servers[0]
        old.pool.begin(one)
        new = self.made([server("a", max_connections=1)])
        new.pool.adopt(old.pool)
        waiting = new.pool.wait(session())
        old.pool.end(one, 0.1, ok=True)
        self.assertIs(self.successResultOf(waiting), one)
        self.assertEqual((one.active, one.requests), (1, 2))

    def test_exchanges_on_servers_that_are_gone(self) -> None:
        """What runs on a server that left the configuration ends there, in peace."""
        gone = self.old.servers[2]
        self.old.pool.begin(gone)
        self.made("ab").pool.adopt(self.old.pool)
        self.old.pool.end(gone, 0.1, ok=True)
        self.assertEqual(gone.active, 0)

    def test_queue_moves(self) -> None:
        """Those who wait are served by the new pool; more room there serves them at once."""
        old = self.made([server("a", max_connections=1)])
        one = old.servers[0]
        old.pool.begin(one)
        waiting = old.pool.wait(session())
        new = self.made([server("a", max_connections=2)], queue=QueueSettings(size=1))
        new.pool.adopt(old.pool)
        self.assertIs(self.successResultOf(waiting), one)
        self.assertEqual(one.active, 2)

    def test_queue_goes_on_in_a_pool_that_is_gone(self) -> None:
        """A pool that leaves the configuration still serves, or refuses, those who wait."""
        old = self.made([server("a", max_connections=1)])
        old.pool.begin(old.servers[0])
        first, second = old.pool.wait(session()), old.pool.wait(session())
        old.pool.close()
        old.pool.end(old.servers[0], 0.1, ok=True)
        self.successResultOf(first)
        self.clock.advance(5)
        self.failureResultOf(second, ExchangeError)

    def test_ejection_goes_on(self) -> None:
        """An ejected server stays out for the rest of its time."""
        old = self.made("ab", passive=Passive(failures=1, eject=10.0))
        old.fail(old.servers[0])
        self.clock.advance(4)
        new = self.made("ab", passive=Passive())
        new.pool.adopt(old.pool)
        self.assertEqual(new.chosen(), {"b"})
        self.clock.advance(5.9)
        self.assertEqual(new.chosen(), {"b"})
        self.clock.advance(0.1)
        self.assertEqual(new.chosen(), {"a", "b"})
        self.assertEqual(old.kinds(), ["server_ejected"])

    def test_passive_switched_off(self) -> None:
        """Without passive detection in the new configuration, nobody is ejected."""
        old = self.made("ab", passive=Passive(failures=1))
        old.fail(old.servers[0])
        new = self.made("ab")
        new.pool.adopt(old.pool)
        self.assertEqual(new.chosen(), {"a", "b"})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_health_goes_on(self) -> None:
        """A server that was down is down until the new pool's probes say otherwise; only those ask."""
        probe, other = Well(but="a"), Well()
        settings = HealthSettings(interval=5.0, rise=2, jitter=0.0)
        old = self.made("ab", probe=probe, health=settings)
        old.pool.start(None)  # type: ignore[arg-type]
        self.clock.advance(1)
        new = self.made("ab", probe=other, health=settings)
        new.pool.adopt(old.pool)
        new.pool.start(None)  # type: ignore[arg-type]
        asked = probe.asked
        self.clock.advance(1)
        self.assertEqual(new.chosen(), {"b"})
        self.clock.advance(5)
        self.assertEqual(new.chosen(), {"a", "b"})
        self.assertEqual((asked, probe.asked), (2, 2))
        self.assertEqual(new.kinds(), ["server_came_up"])
        new.pool.stop()

    def test_health_switched_off(self) -> None:
        """Without probes in the new configuration every server counts as well."""
        old = self.made("ab", probe=Well(but="a"))
        old.pool.start(None)  # type: ignore[arg-type]
        self.clock.advance(1)
        new = self.made("ab")
        new.pool.adopt(old.pool)
        self.assertEqual(new.chosen(), {"a", "b"})

    def test_sticky_clients_stay(self) -> None:
        """Who stuck to a server sticks to it still."""
        old = self.made("abcd", sticky=StickyTable(Key("client_ip"), self.clock.seconds))
        before = {ip: old.chosen(5, session(ip)) for ip in map("10.0.0.{}".format, range(20))}
        new = self.made("dcba", sticky=StickyTable(Key("client_ip"), self.clock.seconds))
        new.pool.adopt(old.pool)
        self.assertEqual({ip: new.chosen(5, session(ip)) for ip in before}, before)

    def test_counters_of_retries(self) -> None:
        """What was counted goes on being counted."""
        self.old.pool.retry.retries = 5
        new = self.made("abc")
        new.pool.adopt(self.old.pool)
        self.assertEqual(new.pool.retry.retries, 5)

    def test_twice(self) -> None:
        """A chain of reloads leads from the first pool to the last."""
        one = self.old.servers[0]
        self.old.pool.begin(one)
        second, third = self.made("abc"), self.made("abc")
        second.pool.adopt(self.old.pool)
        third.pool.adopt(second.pool)
        self.old.pool.end(one, 0.1, ok=True)
        self.assertEqual((one.active, one.owner), (0, third.pool))


class LifeTests(TestCase):
    """Start and stop."""

    def test_nothing_before_start(self) -> None:
        """A pool that was only made has scheduled nothing."""
        watched = Watched("abc", probe=Well(), passive=Passive())
        self.assertEqual(watched.clock.getDelayedCalls(), [])

    def test_without_names(self) -> None:
        """Starting waits for nothing where there are no names."""
        watched = Watched("abc")
        self.successResultOf(watched.pool.start(None))  # type: ignore[arg-type]
        watched.pool.stop()
        self.assertEqual(watched.clock.getDelayedCalls(), [])
