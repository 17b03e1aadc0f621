"""Tests of how much a pool takes on at a time."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from balancer.pools.idle import KeepAlive
from balancer.pools.limits import Limits, LimitSettings, Wait
from tests.pools.pieces import servers


class _Kept:
    """A kept connection."""

    expires = 1e9
    whom = b""

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        owner.connections["http1"] += 1

    def close(self) -> None:
        """It is gone at once."""
        self.owner.connections["http1"] -= 1


class _Others:
    """What another process has of a limit of five."""

    most = 5

    def __init__(self, theirs: int) -> None:
        self.theirs = theirs
        self.ours = 0

    def put(self, active: int) -> None:
        """Note ours."""
        self.ours = active

    def has_room(self) -> bool:
        """Whether there is room for one more."""
        return self.ours + self.theirs < self.most


class LimitsTests(TestCase):
    """Requests, pending, retries, connections."""

    def test_no_limits(self) -> None:
        """Without limits everything may begin, any number of times."""
        limits = Limits(LimitSettings())
        limits.requests.add(10**6)
        self.assertIsNone(limits.over(session=True))
        self.assertIsInstance(limits.connects(servers("a")[0], False, servers("a")), Wait)

    def test_requests(self) -> None:
        """As many may be in flight, and no more."""
        limits = Limits(LimitSettings(requests=2))
        limits.requests.add(1)
        self.assertIsNone(limits.over(session=False))
        limits.requests.add(1)
        self.assertIs(limits.over(session=False), limits.requests)

    def test_sessions_are_connections(self) -> None:
        """A session is a connection; an exchange is not."""
        limits = Limits(LimitSettings(connections=1))
        limits.requests.add(1)
        self.assertIs(limits.over(session=True), limits.connections)
        self.assertIsNone(limits.over(session=False))

    def test_pending(self) -> None:
        """Those who wait for a connection are counted until they have one."""
        limits, members = Limits(LimitSettings(pending=1)), servers("a")
        wait = limits.connects(members[0], False, members)
        assert isinstance(wait, Wait)
        self.assertIs(limits.connects(members[0], False, members), limits.pending)
        self.assertIs(limits.session_connects(False), limits.pending)
        self.assertEqual(wait.over("there"), "there")
        self.assertEqual((limits.pending.active, limits.opening), (0, 0))

    def test_retries_of_sessions(self) -> None:
        """A session that connects again is a retry for so long."""
        limits = Limits(LimitSettings(retries=1))
        wait = limits.session_connects(True)
        self.assertTrue(limits.retries.full)
        assert isinstance(wait, Wait)
        wait.over()
        self.assertFalse(limits.retries.full)

    def test_connections(self) -> None:
        """Open connections and those that are being made count together."""
        limits, members = Limits(LimitSettings(connections=2)), servers("ab")
        members[0].connections["http1"] = 1  # it was there before
        limits.bind(members)
        wait = limits.connects(members[1], False, members)
        assert isinstance(wait, Wait)
        self.assertIs(limits.connects(members[1], False, members), limits.connections)
        wait.over()
        members[1].connections["http1"] += 1
        self.assertIs(limits.connects(members[1], False, members), limits.connections)
        members[0].connections["http1"] -= 1
        self.assertIsInstance(limits.connects(members[1], False, members), Wait)

    def test_idle_ones_make_way(self) -> None:
        """An idle connection to another server is given up for one that is wanted."""
        limits, members = Limits(LimitSettings(connections=1)), servers("ab")
        limits.bind(members)
        members[0].idle.settings = KeepAlive()
        self.assertTrue(members[0].idle.put(_Kept(members[0]), 0.0))
        self.assertIsInstance(limits.connects(members[1], False, members), Wait)
        self.assertEqual((len(members[0].idle), limits.connections.active), (0, 0))

    def test_together(self) -> None:
        """A limit holds for all processes together."""
        limits, others = Limits(LimitSettings(requests=5)), _Others(3)
        limits.requests.add(1)
        limits.requests.keep_with_others(others)
        self.assertEqual(others.ours, 1)
        self.assertIsNone(limits.over(session=False))
        limits.requests.add(1)
        self.assertIs(limits.over(session=False), limits.requests)
        limits.requests.keep_with_others(None)
        self.assertEqual(others.ours, 0)

    def test_release(self) -> None:
        """A pool that is stopped counts nothing together with others, and is not told of connections any more."""
        limits, members, others = Limits(LimitSettings(connections=5)), servers("a"), _Others(3)
        limits.bind(members)
        members[0].connections["http1"] += 1
        limits.connections.keep_with_others(others)
        limits.release(members)
        members[0].connections["http1"] += 1
        self.assertEqual((others.ours, limits.connections.active, members[0].connections["http1"]), (0, 1, 2))

    def test_take_over(self) -> None:
        """At a reload what is in flight still counts, against the new limits, and what was refused is not forgotten."""
        old, new, members = Limits(LimitSettings(1, 1, 1, 1)), Limits(LimitSettings(2, 2, 2, 2)), servers("a")
        old.bind(members)
        wait = old.session_connects(True)
        assert isinstance(wait, Wait)
        members[0].active = 1
        members[0].connections["http1"] += 1
        old.requests.refused = 7
        new.take_over(old)
        new.bind(members)
        self.assertEqual([limit.active for limit in new.all], [1, 1, 1, 1])
        self.assertEqual([limit.most for limit in new.all], [2, 2, 2, 2])
        self.assertEqual(new.requests.refused, 7)
        wait.over()
        members[0].connections["http1"] -= 1
        self.assertEqual([limit.active for limit in new.all], [0, 0, 1, 0])
