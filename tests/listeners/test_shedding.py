"""Shedding: when it begins, what share it comes to, when it ends."""

from __future__ import annotations

import random
from collections import deque

from twisted.trial.unittest import SynchronousTestCase

from balancer.listeners.shedding import NEVER, Shedding

LIMIT = 0.25


class BeginningTests(SynchronousTestCase):
    def test_nobody_is_turned_away_below_the_limit(self) -> None:
        """However long it lags by less."""
        shedding = Shedding(LIMIT)
        for _ in range(1000):
            shedding.measured(LIMIT * 0.99)
        self.assertEqual(shedding.share, 0.0)
        self.assertFalse(any(shedding.sheds("web") for _ in range(1000)))

    def test_one_late_turn_is_forgiven(self) -> None:
        """However late it was."""
        shedding = Shedding(LIMIT)
        for lag in (0.0, 30.0, 0.1) * 5:
            shedding.measured(lag)
        self.assertEqual(shedding.share, 0.0)

    def test_two_late_turns_are_not(self) -> None:
        """Then some are turned away, counted by listener."""
        shedding = Shedding(LIMIT, iter([0.9, 0.0, 0.0, 0.9]).__next__)
        shedding.measured(0.4)
        shedding.measured(0.4)
        self.assertGreater(shedding.share, 0.0)
        self.assertEqual([shedding.sheds("web") for _ in range(4)], [False, True, True, False])
        self.assertEqual(dict(shedding.turned_away), {"web": 2})

    def test_never(self) -> None:
        """Without a limit nobody is turned away, and taking it away ends what was begun."""
        for _ in range(3):
            NEVER.measured(100.0)
        self.assertEqual(NEVER.share, 0.0)
        NEVER.lag = 0.0
        shedding = Shedding(LIMIT)
        for _ in range(9):
            shedding.measured(1.0)
        shedding.limit = 0.0
        shedding.measured(1.0)
        self.assertEqual(shedding.share, 0.0)

    def test_some_are_always_let_in(self) -> None:
        """However bad it is: else nobody would know when it is over."""
        shedding = Shedding(LIMIT)
        for _ in range(1000):
            shedding.measured(60.0)
        self.assertLess(shedding.share, 1.0)

    def test_it_says_how_it_is(self) -> None:
        """The share and the lag."""
        shedding = Shedding(LIMIT)
        shedding.measured(0.1)
        self.assertEqual(repr(shedding), "<Shedding 0%, lag 100 ms of 250 ms>")


class _Loop:
    """An event loop with a load, in its own time: a request costs ``served`` seconds, or ``shed``."""

    def __init__(self, shedding: Shedding, served: float, shed: float) -> None:
        self.shedding = shedding
        self.now = 0.0
        self.due = 0.05
        self.served = 0
        self._costs = (served, shed)

    def one(self) -> None:
        sheds = self.shedding.share > 0.0 and self.shedding.sheds("web")
        self.now += self._costs[sheds]
        self.served += not sheds

    def turn_ends(self, waited: float = 0.0) -> None:
        if self.now >= self.due:
            self.shedding.measured(max(self.now - self.due, waited))
            self.due = self.now + 0.05

    def rests(self) -> int:
        """Let time pass without load; return after how many measurements nobody is turned away any more."""
        for count in range(1000):
            if not self.shedding.share:
                return count
            self.now = self.due
            self.turn_ends()
        raise AssertionError(self.shedding)


class ControlTests(SynchronousTestCase):
    """What it comes to with either kind of lag; the loops are simulated, the random numbers the same each time."""

    def test_long_turns(self) -> None:
        """Kept connections with a request each in every turn: turns come to less than the limit, and it ends soon."""
        for clients in (4_000, 8_000):
            loop = _Loop(Shedding(LIMIT, random.Random(1).random), 100e-6, 15e-6)
            turns: deque[float] = deque(maxlen=20)
            while loop.now < 20.0:
                began = loop.now
                for _ in range(clients):
                    loop.one()
                turns.append(loop.now - began)
                loop.turn_ends()
            self.assertLess(max(turns), LIMIT * 1.2)
            self.assertGreater(loop.served * 100e-6 / loop.now, 0.5)
            self.assertLessEqual(loop.rests(), 20)  # one second

    def test_a_backlog(self) -> None:
        """Twice as many new connections as can be served: the wait comes to less than the limit, most of the time serves."""
        loop = _Loop(Shedding(LIMIT, random.Random(1).random), 350e-6, 60e-6)
        backlog: deque[float] = deque()
        waits: list[float] = []
        arrived = worst = 0.0
        while loop.now < 20.0:
            while arrived < loop.now:
                backlog.append(arrived)
                arrived += 175e-6
            for _ in range(min(64, len(backlog))):
                wait = loop.now - backlog.popleft()
                waits.append(wait)
                worst = max(worst, wait)
                loop.one()
            loop.now += 10e-6
            if loop.now >= loop.due:
                loop.turn_ends(worst)
                worst = 0.0
        settled = sorted(waits[len(waits) // 2 :])
        self.assertLess(settled[int(len(settled) * 0.99)], LIMIT * 1.2)
        self.assertGreater(loop.served * 350e-6 / loop.now, 0.7)
        self.assertLessEqual(loop.rests(), 20)
