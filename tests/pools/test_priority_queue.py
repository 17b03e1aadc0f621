"""Tests of a queue in which some go before others."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from balancer import errors
from balancer.errors import ExchangeError
from balancer.model.keys import Key
from balancer.model.queueing import Queueing
from balancer.pools.priority_queue import PriorityQueue, PrioritySettings
from balancer.pools.queue import Queue, QueueSettings
from balancer.pools.server import Server
from tests.pools.pieces import Guarded, request, server, session

SETTINGS = PrioritySettings(Key("header", "x-priority"), Key("header", "x-deadline"))


class PriorityQueueTests(TestCase):
    """Waiting for a server with room."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.free: list[Server] = []
        self.served: list[str] = []
        self.queue = self.made(3)

    def made(self, size: int) -> PriorityQueue:
        """A queue of that size."""
        return PriorityQueue(
            SETTINGS, QueueSettings(size, 5.0), self.clock, lambda facts: self.free.pop() if self.free else None
        )

    def wait(self, name: str, facts: Any = None, **headers: str) -> Any:
        """Wait; when served, the name is noted."""
        waiting = self.queue.wait(facts or request(**headers))
        waiting.addCallback(lambda one: self.served.append(name) or one)
        return waiting

    def serve(self, count: int) -> list[str]:
        """Let so many be served; returns all that were, in order."""
        self.free = [server("a")] * count
        self.queue.serve()
        return self.served

    def test_order(self) -> None:
        """The highest first, and who came first among equals; who says none is in the middle."""
        for name, priority in (("low", "1"), ("high", "9"), ("later", "9")):
            self.wait(name, X_Priority=priority)
        self.assertEqual(self.serve(3), ["high", "later", "low"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_is_said(self) -> None:
        """Numbers from 0 to 10 are priorities; more is 10, anything else is as if nothing were said."""
        said = [self.queue.priority(request(X_Priority=each)) for each in ("0", "10", "99", "-1", "x", "12345678")]
        self.assertEqual(said, [0, 10, 10, 5, 5, 5])
        self.assertEqual(self.queue.priority(session()), 5)

    def test_route(self) -> None:
        """What the route says goes before what the request says."""
        facts = request(X_Priority="9", X_Deadline="1s")
        facts.queueing = Queueing(2, 3.0)
        self.assertEqual((self.queue.priority(facts), self.queue.patience(facts)), (2, 1.0))
        facts = request()
        facts.queueing = Queueing(None, 3.0)
        self.assertEqual((self.queue.priority(facts), self.queue.patience(facts)), (5, 3.0))

    def test_shed(self) -> None:
        """When it is full, who came last of the lowest gives way to one of higher priority, and to no other."""
        first, last = self.wait("first", X_Priority="1"), self.wait("last", X_Priority="1")
        self.wait("middle")
        high = self.wait("high", X_Priority="8")
        error = self.failureResultOf(last, ExchangeError).value
        self.assertEqual(error.detail, "gave way in the queue to one of higher priority")
        self.assertIs(error.reason, errors.CONNECTION_LIMIT_REACHED)
        self.assertNoResult(first)
        equal = self.wait("equal", X_Priority="1")
        self.assertIs(self.failureResultOf(equal, ExchangeError).value.reason, errors.CONNECTION_LIMIT_REACHED)
        self.assertEqual((self.queue.shed, self.queue.refused), (1, 1))
        self.assertEqual(self.serve(3), ["high", "middle", "first"])
        self.assertIsNotNone(self.successResultOf(high))

    def test_deadlines(self) -> None:
        """Who says how long it may wait waits no longer; nobody waits longer than the pool allows."""
        long, short = self.wait("long", X_Deadline="1h"), self.wait("short", X_Deadline="250ms")
        self.clock.advance(0.25)
        self.assertIs(self.failureResultOf(short, ExchangeError).value.reason, errors.QUEUE_TIMEOUT)
        self.assertNoResult(long)
        self.clock.advance(4.75)
        self.failureResultOf(long, ExchangeError)
        self.assertEqual((self.queue.timed_out, len(self.queue), self.clock.getDelayedCalls()), (2, 0, []))
        nonsense = self.wait("nonsense", X_Deadline="soon")
        self.clock.advance(4.0)
        self.assertNoResult(nonsense)
        self.clock.advance(1.0)
        self.failureResultOf(nonsense, ExchangeError)

    def test_cancel(self) -> None:
        """Who leaves is gone from every order."""
        waiting = self.wait("gone", X_Priority="9")
        self.wait("left")
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        self.assertEqual(self.serve(2), ["left"])

    def test_reload(self) -> None:
        """At a reload all keep their deadlines, and get the order of the new queue; counts go on."""
        plain = Queue(QueueSettings(3, 5.0), self.clock, lambda facts: None)
        self.queue.shed = 2
        self.wait("low", X_Priority="1")
        self.wait("high", X_Priority="9")
        plain.take_over(self.queue)
        self.assertEqual((len(plain), len(self.queue)), (2, 0))
        self.queue = self.made(3)
        self.queue.take_over(plain)
        self.assertEqual(self.queue.shed, 2)
        self.assertEqual(self.serve(2), ["high", "low"])

    @given(st.lists(st.tuples(st.integers(0, 10), st.integers(1, 4)), max_size=40), st.integers(1, 8))
    def test_the_lowest_go_without(self, arrivals: list[tuple[int, int]], size: int) -> None:
        """Who is served in the end are the highest of all who came, and nobody is lost or served twice."""
        self.setUp()
        self.queue = self.made(size)
        waits = [self.wait(str(priority), X_Priority=str(priority)) for priority, _ in arrivals]
        for each in waits:
            each.addErrback(lambda failure: failure.trap(ExchangeError))
        best = sorted((priority for priority, _ in arrivals), reverse=True)[:size]
        self.assertEqual([int(name) for name in self.serve(size)], best)


class PoolTests(TestCase):
    """In a pool."""

    def test_room_goes_to_the_highest(self) -> None:
        """The next room on a server goes to the highest priority."""
        watched = Guarded([server("a", max_connections=1)], priorities=SETTINGS, queue=QueueSettings(10, 5.0))
        watched.pool.begin(watched.servers[0])
        got: list[str] = []
        for name in ("1", "9", "5"):
            watched.pool.wait(request(X_Priority=name)).addCallback(lambda _, name=name: got.append(name))
        for _ in range(3):
            watched.pool.end(watched.servers[0], 0.01, ok=True)
        self.assertEqual(got, ["9", "5", "1"])

    def test_explained(self) -> None:
        """Where all are full it is told how the request would wait."""
        watched = Guarded([server("a", max_connections=1)], priorities=SETTINGS, queue=QueueSettings(10, 5.0))
        facts = request(X_Priority="9", X_Deadline="2s")
        self.assertNotIn("waits", watched.pool.explain(facts)[0][2])
        watched.pool.begin(watched.servers[0])
        self.assertEqual(
            watched.pool.explain(facts)[0][2],
            "full: 1 of 1 connections; it waits with priority 9, 2 s at most",
        )
