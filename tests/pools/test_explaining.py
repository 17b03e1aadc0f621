"""Tests of explaining a choice."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from balancer.model.keys import Key
from balancer.pools.algorithms.builtins import balancer_algorithms
from balancer.pools.algorithms.maglev import Maglev, MaglevSettings
from balancer.pools.algorithms.round_robin import RoundRobin
from balancer.pools.sticky import StickyTable
from tests.pools.pieces import Watched, draws, server, session

FACTORIES = {factory.name: factory for factory in balancer_algorithms()}
_WANTED = ("yes", "drained", "disabled")


class ExplainTests(TestCase):
    """Why a server is chosen, and why another is not."""

    def told(self, watched: Watched) -> list[tuple[str, bool, str]]:
        """What is explained, with names."""
        return [(one.name, usable, why) for one, usable, why in watched.pool.explain(session())]

    def test_all_well(self) -> None:
        """The algorithm's order is told."""
        self.assertEqual(
            self.told(Watched("ab", RoundRobin())),
            [("a", True, "choice 1 of the algorithm"), ("b", True, "choice 2 of the algorithm")],
        )

    def test_every_state(self) -> None:
        """Each state has its words."""
        watched = Watched(
            [
                *map(server, ("up", "down", "ejected", "full", "drain", "off", "gone")),
                *(server("zero", 0), server("spare", backup=True)),
            ],
            RoundRobin(),
        )
        by_name = {one.name: one for one in watched.servers}
        by_name["down"].healthy, by_name["down"].reason = False, "connection refused"
        by_name["ejected"].ejected_until, by_name["ejected"].reason = 12.5, "failed, 5 in a row"
        by_name["full"].max_connections, by_name["full"].active = 2, 2
        by_name["drain"].drain()
        by_name["gone"].healthy, by_name["gone"].reason = False, "timed out"
        for name in ("off", "gone"):
            by_name[name].disable()
        self.assertEqual(
            {name: (usable, why) for name, usable, why in self.told(watched)},
            {
                "up": (True, "choice 1 of the algorithm"),
                "full": (False, "full: 2 of 2 connections"),
                "down": (False, "down: connection refused"),
                "ejected": (False, "ejected for another 12.5 s: failed, 5 in a row"),
                "drain": (False, "draining"),
                "off": (False, "disabled by hand"),
                "gone": (False, "disabled by hand, and down: timed out"),
                "zero": (False, "weight 0"),
                "spare": (False, "a backup, and others can be used"),
            },
        )

    def test_panic(self) -> None:
        """That health is disregarded is told."""
        watched = Watched("a")
        watched.servers[0].healthy = False
        watched.pool.refresh()
        self.assertEqual(self.told(watched), [("a", True, "choice 1 of the algorithm; no server is healthy")])

    def test_sticky(self) -> None:
        """The server that a client sticks to comes first."""
        clock = Clock()
        watched = Watched("ab", RoundRobin(), clock=clock, sticky=StickyTable(Key("client_ip"), clock.seconds))
        watched.pool.choose(session("10.0.0.9"))
        watched.pool.choose(session())
        self.assertEqual(
            self.told(watched),
            [("b", True, "the client sticks to it by client_ip"), ("a", True, "choice 1 of the algorithm")],
        )

    def test_hash_shows_whose_key_it_is(self) -> None:
        """With a hash the key's own server is told first, though it is down."""
        watched = Watched("abc", Maglev(MaglevSettings(table_size=503)))
        mine = watched.pool.choose(session())
        assert mine is not None
        mine.healthy, mine.reason = False, "timed out"
        watched.pool.refresh()
        told = self.told(watched)
        self.assertEqual(told[0], (mine.name, False, "down: timed out"))
        self.assertEqual(told[1][1:], (True, "choice 2 of the algorithm"))

    def test_nobody(self) -> None:
        """Why nobody can take a request is told in one line."""
        watched = Watched("abc", panic=False)
        watched.servers[0].healthy = False
        watched.servers[1].drain()
        watched.servers[2].max_connections = 0
        self.assertEqual(watched.pool.refusal(session()).detail, "pool web: 1 down, 1 draining, 1 full")
        watched.servers[0].disable()
        self.assertEqual(watched.pool.explain_out()[0], ("a", "disabled by hand, and down"))
        self.assertEqual(Watched([]).pool.refusal(session()).detail, "pool web has no servers")

    @settings(max_examples=60, deadline=None)
    @given(
        st.sampled_from(sorted(FACTORIES)),
        st.lists(
            st.tuples(st.integers(0, 3), st.booleans(), st.booleans(), st.sampled_from(_WANTED), st.integers(0, 3)),
            max_size=6,
        ),
        st.booleans(),
        st.integers(0, 2**32),
    )
    def test_agrees_with_the_choice(
        self, name: str, states: list[tuple[int, bool, bool, str, int]], panic: bool, seed: int
    ) -> None:
        """For the same draws, the first usable server that is explained is the one that is chosen."""
        found = []
        for explaining in (False, True):
            factory = FACTORIES[name]
            algorithm = (
                Maglev(MaglevSettings(table_size=503)) if name == "maglev" else factory.build(factory.settings())
            )
            members = []
            for index, (weight, backup, healthy, wanted, active) in enumerate(states):
                member = server(f"s{index}", weight, backup=backup, max_connections=3)
                member.healthy, member.active = healthy, active
                member.draining, member.disabled = wanted == "drained", wanted == "disabled"
                members.append(member)
            pool = Watched(members, algorithm, draw=draws(seed), panic=panic).pool
            if explaining:
                found.append(next((one.name for one, usable, _ in pool.explain(session()) if usable), None))
            else:
                chosen = pool.choose(session())
                found.append(None if chosen is None else chosen.name)
        self.assertEqual(found[0], found[1])
