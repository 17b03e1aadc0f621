"""Tests of priorities and zones."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from balancer.hooks.interfaces import IObservingAlgorithm
from balancer.pools.algorithms.ewma import Ewma
from balancer.pools.algorithms.maglev import Maglev, MaglevSettings
from balancer.pools.algorithms.p2c import P2C
from balancer.pools.algorithms.random_choice import RandomChoice
from balancer.pools.sections import Sections, SectionSettings, loads
from balancer.pools.server import Server
from tests.pools.pieces import Guarded, Watched, draws, request, server, session


def placed(name: str, priority: int = 0, zone: str = "", **settings: Any) -> Server:
    """A server with a place."""
    one = server(name, **settings)
    one.priority, one.zone = priority, zone
    return one


class LoadTests(TestCase):
    """How much goes where."""

    def test_spill(self) -> None:
        """The first keeps all until less than 71 % of it are well; then as much as it can take."""
        found = [loads([well, 10], [10, 10], 1.4)[0] for well in (10, 8, 7, 5, 0)]
        self.assertEqual([round(each, 2) for each in found], [1.0, 1.0, 0.98, 0.7, 0.0])

    def test_all_weak(self) -> None:
        """When together they cannot take all, it is shared by what each can, as Envoy has it."""
        self.assertEqual([round(each, 3) for each in loads([2, 2], [10, 10], 1.4)], [0.5, 0.5])
        self.assertEqual(loads([0, 0], [10, 10], 1.4), [0.0, 0.0])

    @given(
        st.lists(st.integers(0, 10), min_size=1, max_size=5).flatmap(
            lambda whole: st.tuples(st.just(whole), st.tuples(*(st.integers(0, size) for size in whole)))
        ),
        st.floats(1.0, 3.0),
    )
    def test_everything_goes_somewhere(self, sizes: tuple[list[int], tuple[int, ...]], factor: float) -> None:
        """The shares sum to 1 if anybody is well, and nobody who is not gets any."""
        whole, well = sizes
        found = loads(well, whole, factor)
        self.assertLess(abs(sum(found) - (1.0 if any(well) else 0.0)), 1e-9)
        self.assertTrue(all(well[at] or not share for at, share in enumerate(found)))


class SectionTests(TestCase):
    """In a pool."""

    def watched(self, members: list[Server], zone: str = "", make: Any = RandomChoice, **options: Any) -> Watched:
        """A pool with sections."""
        sections = Sections(SectionSettings(1.4, zone), make(), make)
        return Guarded(members, sections, sections=sections, draw=draws(), **options)

    def down(self, watched: Watched, *names: str) -> None:
        """Let these be down, and no others."""
        for one in watched.servers:
            one.healthy = one.name not in names
        watched.pool.refresh()

    def shares(self, watched: Watched, count: int = 2000) -> Counter[str]:
        """How often each letter is chosen."""
        return Counter(one.name[0] for _ in range(count) if (one := watched.pool.choose(session())) is not None)

    def test_priorities(self) -> None:
        """Servers of the second priority get what those of the first cannot take, and nothing else."""
        watched = self.watched([*(placed(f"a{at}") for at in range(4)), *(placed(f"b{at}", 1) for at in range(4))])
        self.assertEqual(self.shares(watched), {"a": 2000})
        self.down(watched, "a0")
        self.assertEqual(self.shares(watched), {"a": 2000})
        self.down(watched, "a0", "a1")
        self.assertLess(abs(self.shares(watched)["b"] - 600), 80)
        self.down(watched, "a0", "a1", "a2", "a3")
        self.assertEqual(self.shares(watched), {"b": 2000})
        self.down(watched)
        self.assertEqual(self.shares(watched), {"a": 2000})

    def test_zones(self) -> None:
        """Servers of the own zone are preferred; what they cannot take goes to the others, before other priorities."""
        members = [
            placed("n0", 0, "eu"),
            placed("n1", 0, "eu"),
            placed("f0", 0, "us"),
            placed("f1"),
            placed("s0", 1, "eu"),
        ]
        watched = self.watched(members, "eu")
        self.assertEqual(self.shares(watched), {"n": 2000})
        self.down(watched, "n0")
        self.assertLess(abs(self.shares(watched)["f"] - 600), 80)
        self.down(watched, "n0", "n1")
        self.assertEqual(set(self.shares(watched)), {"f", "s"})  # 2 of 4 are well: 70 %
        self.down(watched, "f0", "f1", "s0")
        self.assertEqual(self.shares(watched), {"n": 2000})

    def test_full(self) -> None:
        """Where the section that is drawn has no room, the next has."""
        watched = self.watched([placed("a", max_connections=1), placed("b", 1)])
        watched.pool.begin(watched.servers[0])
        self.assertEqual(self.shares(watched, 10), {"b": 10})

    def test_retry(self) -> None:
        """So it is for a retry, after those of the first were tried."""
        watched = self.watched([placed("a"), placed("b", 1)])
        self.assertIs(watched.pool.choose(session(), [watched.servers[0]]), watched.servers[1])

    def test_keys_stay(self) -> None:
        """With a hash a key keeps its section, and its server, while some spill."""

        def make() -> Maglev:
            return Maglev(MaglevSettings(table_size=503))

        watched = self.watched(
            [*(placed(f"a{at}") for at in range(4)), *(placed(f"b{at}", 1) for at in range(4))], make=make
        )
        clients = [session(f"10.0.0.{number}") for number in range(200)]
        before = [watched.pool.choose(each) for each in clients]
        self.down(watched, "a0", "a1")
        after = [watched.pool.choose(each) for each in clients]
        self.assertEqual(after, [watched.pool.choose(each) for each in clients])
        spilt = [one.name for one in after if one is not None and one.priority]
        self.assertTrue(40 < len(spilt) < 80, len(spilt))
        stayed = [
            was is now
            for was, now in zip(before, after, strict=True)
            if now is not None and was is not None and not now.priority and was.healthy
        ]
        self.assertTrue(all(stayed))

    def test_learning(self) -> None:
        """An algorithm that learns is told, in its section."""
        watched = self.watched([placed("a"), placed("b", 1)], make=Ewma)
        self.assertTrue(IObservingAlgorithm.providedBy(watched.pool.algorithm))
        watched.pool.begin(watched.servers[1])
        watched.pool.end(watched.servers[1], 0.5, ok=True)
        self.assertFalse(IObservingAlgorithm.providedBy(Sections(SectionSettings(), P2C(), P2C)))

    def test_backups(self) -> None:
        """Backups are used when no server of any priority can be."""
        watched = self.watched([placed("a"), placed("b", 1), placed("x", backup=True)])
        self.down(watched, "a")
        self.assertEqual(self.shares(watched, 10), {"b": 10})
        self.down(watched, "a", "b")
        self.assertEqual(self.shares(watched, 10), {"x": 10})

    def test_panic(self) -> None:
        """When none is well, all of the first priority are used."""
        watched = self.watched([placed("a"), placed("b", 1)])
        self.down(watched, "a", "b")
        self.assertEqual(self.shares(watched, 10), {"a": 10})

    def test_explained(self) -> None:
        """Each server's section and its part are told; the first is the one chosen."""
        watched = self.watched([placed("a", 0, "eu"), placed("b", 0, "us"), placed("c", 1)], "eu")
        told = watched.pool.explain(request())
        self.assertEqual(
            [(one.name, usable, why) for one, usable, why in told],
            [
                ("a", True, "choice 1 of the algorithm; priority 0 in our zone, which gets 100%"),
                ("b", True, "choice 2 of the algorithm; priority 0 in another zone (us), which gets 0%"),
                ("c", True, "choice 3 of the algorithm; priority 1 in another zone (none), which gets 0%"),
            ],
        )
        self.assertIs(watched.pool.choose(request()), told[0][0])

    def test_reload(self) -> None:
        """A reload may change the places of servers that stay."""
        before = self.watched([placed("a"), placed("b", 1)])
        after = self.watched([placed("a", 1), placed("b")], clock=before.clock)
        after.pool.adopt(before.pool)
        self.assertIs(after.pool.servers[0], before.servers[0])
        self.assertEqual(self.shares(after, 10), {"b": 10})
