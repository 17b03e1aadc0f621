"""Tests of subsets by labels."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.trial.unittest import TestCase

from balancer.model.facts import RequestFacts
from balancer.model.keys import Key
from balancer.pools.algorithms.ewma import Ewma
from balancer.pools.algorithms.maglev import Maglev, MaglevSettings
from balancer.pools.algorithms.round_robin import RoundRobin
from balancer.pools.queue import QueueSettings
from balancer.pools.sections import Sections, SectionSettings
from balancer.pools.server import Server
from balancer.pools.slow_start import SlowStartSettings
from balancer.pools.sticky import StickyTable
from balancer.pools.subsets import Subsets, SubsetSettings
from tests.pools.pieces import Guarded, Watched, request, server, session


def labelled(name: str, *, priority: int = 0, **labels: str) -> Server:
    """A server with labels."""
    one = server(name)
    one.labels, one.priority = labels, priority
    return one


class SubsetTests(TestCase):
    """In a pool with versions and stages."""

    def watched(self, members: Any = None, make: Any = RoundRobin, options: Any = None, **settings: Any) -> Watched:
        """A pool of two servers of v1, two of v2."""
        members = members or [
            labelled("a", version="v1", stage="prod"),
            labelled("b", version="v1", stage="test"),
            labelled("c", version="v2", stage="prod"),
            labelled("d", version="v2", stage="prod"),
        ]
        sources = {"version": Key("header", "x-version"), "stage": Key("query", "stage")}
        wanted = SubsetSettings(("version", "stage"), sources, **settings)
        return Guarded(members, make(), subsets=Subsets(wanted, make), **(options or {}))

    def names(self, watched: Watched, facts: Any, count: int = 40) -> dict[str, int]:
        """Who gets how much of what these facts ask."""
        return dict(Counter(one.name for _ in range(count) if (one := watched.pool.choose(facts)) is not None))

    def test_header(self) -> None:
        """A request that asks for a version gets its servers, evenly; one that does not, any."""
        watched = self.watched()
        self.assertEqual(self.names(watched, request(X_Version="v2")), {"c": 20, "d": 20})
        self.assertEqual(self.names(watched, request()), dict.fromkeys("abcd", 10))

    def test_two_labels(self) -> None:
        """Labels that are asked for together must all be there."""
        watched = self.watched()
        self.assertEqual(self.names(watched, request(target="/?stage=test", X_Version="v1")), {"b": 40})
        self.assertEqual(self.names(watched, request(target="/?stage=prod"), 30), dict.fromkeys("acd", 10))

    def test_route_goes_first(self) -> None:
        """What a route asks for goes before what the request says."""
        facts: RequestFacts = request(X_Version="v2")
        facts.subset = {"version": "v1"}
        self.assertEqual(self.names(self.watched(), facts), {"a": 20, "b": 20})

    def test_default(self) -> None:
        """Where nobody says anything the default is asked for, in sessions of layer 4 too."""
        watched = self.watched(default={"version": "v1"})
        self.assertEqual(self.names(watched, session()), {"a": 20, "b": 20})

    def test_fallback(self) -> None:
        """Where there is no such server, or none can be used: any, those of the default, or none."""
        asked = request(X_Version="v3")
        self.assertEqual(set(self.names(self.watched(), asked)), set("abcd"))
        self.assertEqual(set(self.names(self.watched(fallback="default", default={"version": "v1"}), asked)), set("ab"))
        watched = self.watched(fallback="none")
        self.assertEqual(self.names(watched, asked), {})
        self.assertFalse(watched.pool.all_full)
        self.assertEqual(watched.pool.refusal(asked).detail, "no server with version=v3 can be used")
        for one in watched.servers[2:]:
            one.drain()
        self.assertEqual(self.names(watched, request(X_Version="v2")), {})
        self.assertEqual(set(self.names(watched, request())), {"a", "b"})

    def test_health(self) -> None:
        """Within a subset servers that are down are passed over."""
        watched = self.watched()
        watched.servers[2].healthy = False
        watched.pool.refresh()
        self.assertEqual(self.names(watched, request(X_Version="v2")), {"d": 40})

    def test_retry(self) -> None:
        """A retry stays in the subset."""
        watched = self.watched()
        chosen = watched.pool.choose(request(X_Version="v2"), [watched.servers[2]])
        self.assertIs(chosen, watched.servers[3])
        self.assertIsNone(watched.pool.choose(request(X_Version="v2"), watched.servers[2:]))

    def test_sticky(self) -> None:
        """A client that sticks to a server of another subset leaves it."""
        watched = self.watched()
        watched.pool.sticky = StickyTable(Key("client_ip"), watched.clock.seconds)
        watched.pool.sticky.bind(watched.servers)
        mine = watched.pool.choose(request(X_Version="v1"))
        self.assertIs(watched.pool.choose(request(X_Version="v1")), mine)
        other = watched.pool.choose(request(X_Version="v2"))
        assert other is not None
        self.assertEqual(other.labels["version"], "v2")

    def test_queue(self) -> None:
        """Who waits for a subset that is full does not keep those waiting for another."""
        watched = self.watched(options={"queue": QueueSettings(10, 5.0)})
        for one in watched.servers:
            one.max_connections = 1
            watched.pool.begin(one)
        self.assertIsNone(watched.pool.choose(request(X_Version="v1")))
        self.assertTrue(watched.pool.all_full)
        got: list[Server] = []
        for version in ("v1", "v2"):
            watched.pool.wait(request(X_Version=version)).addCallback(got.append)
        watched.pool.end(watched.servers[3], 0.01, ok=True)
        self.assertEqual([one.name for one in got], ["d"])
        watched.pool.end(watched.servers[0], 0.01, ok=True)
        self.assertEqual([one.name for one in got], ["d", "a"])

    def test_explained(self) -> None:
        """Servers of other subsets are out, and that is why; a fallback is told; the first is the one chosen."""
        watched = self.watched()
        asked = request(X_Version="v2")
        told = watched.pool.explain(asked)
        self.assertEqual(
            {one.name: why for one, usable, why in told if not usable},
            dict.fromkeys("ab", "not in the subset version=v2"),
        )
        for _ in range(2):  # nobody's turn is spent by asking
            usable = next(one for one, may, _ in watched.pool.explain(asked) if may)
            self.assertIs(usable, watched.servers[2])
        self.assertIs(watched.pool.choose(asked), watched.servers[2])
        told = watched.pool.explain(request(X_Version="v3"))
        self.assertTrue(all(usable and "no server with version=v3 can be used" in why for _, usable, why in told))
        watched = self.watched(fallback="none")
        told = watched.pool.explain(request(X_Version="v3"))
        self.assertEqual({each[1:] for each in told}, {(False, "no server with version=v3 can be used")})

    def test_hashing(self) -> None:
        """A key's server within a subset is the same ever after."""
        watched = self.watched(make=lambda: Maglev(MaglevSettings(table_size=503)))
        self.assertEqual(len(self.names(watched, request(X_Version="v2"))), 1)
        watched.servers[2].healthy = False
        watched.pool.refresh()
        self.assertEqual(self.names(watched, request(X_Version="v2")), {"d": 40})

    def test_learning(self) -> None:
        """Algorithms that learn do so in every subset that a server is in."""
        watched = self.watched(make=Ewma)
        slow = watched.servers[2]
        for _ in range(5):
            watched.pool.begin(slow)
            watched.pool.end(slow, 1.0, ok=True)
        watched.pool.begin(watched.servers[3])
        watched.pool.end(watched.servers[3], 0.001, ok=True)
        self.assertEqual(self.names(watched, request(X_Version="v2")), {"d": 40})

    def test_with_others(self) -> None:
        """Priorities and slow start hold within a subset."""

        def make() -> Sections:
            return Sections(SectionSettings(), RoundRobin(), RoundRobin)

        members = [
            labelled("a", version="v1"),
            labelled("b", version="v1", priority=1),
            labelled("c", version="v2", priority=1),
        ]
        sections = make()
        subsets = Subsets(SubsetSettings(("version",), {"version": Key("header", "x-version")}), make)
        watched = Guarded(members, sections, sections=sections, subsets=subsets, slow_start=SlowStartSettings(10.0))
        self.assertEqual(self.names(watched, request(X_Version="v1")), {"a": 40})
        self.assertEqual(self.names(watched, request(X_Version="v2")), {"c": 40})
        members[0].healthy = False
        watched.pool.refresh()
        self.assertEqual(self.names(watched, request(X_Version="v1")), {"b": 40})
        self.assertIn(
            "priority 1, which gets 100%",
            [why for _, may, why in watched.pool.explain(request(X_Version="v1")) if may][0],
        )

    def test_reload(self) -> None:
        """A reload may change labels of servers that stay."""
        before = self.watched()
        after = Guarded(
            [labelled("a", version="v2"), labelled("b", version="v1")],
            RoundRobin(),
            clock=before.clock,
            subsets=Subsets(SubsetSettings(("version",), {"version": Key("header", "x-version")}), RoundRobin),
        )
        after.pool.adopt(before.pool)
        self.assertIs(after.pool.servers[0], before.servers[0])
        self.assertEqual(self.names(after, request(X_Version="v2")), {"a": 40})
