"""Tests of the queue."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from balancer import errors
from balancer.errors import ExchangeError
from balancer.pools.queue import Queue, QueueSettings
from balancer.pools.server import Server
from tests.pools.pieces import Watched, server, session


class QueueTests(TestCase):
    """Waiting for a server with room."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.free: list[Server] = []
        self.queue = Queue(
            QueueSettings(size=3, timeout=5.0), self.clock, lambda facts: self.free.pop() if self.free else None
        )

    def test_first_come_first_served(self) -> None:
        """Whoever waits longest gets the next server."""
        first, second = self.queue.wait(session()), self.queue.wait(session())
        self.free = [server("a")]
        self.queue.serve()
        self.assertEqual(self.successResultOf(first).name, "a")
        self.assertNoResult(second)
        self.assertEqual(len(self.queue), 1)

    def test_time_limit(self) -> None:
        """Whoever waited too long is told so, at their own time."""
        first = self.queue.wait(session())
        self.clock.advance(2)
        second = self.queue.wait(session())
        self.clock.advance(3)
        self.assertIs(self.failureResultOf(first, ExchangeError).value.reason, errors.QUEUE_TIMEOUT)
        self.assertNoResult(second)
        self.clock.advance(2)
        self.assertIs(self.failureResultOf(second, ExchangeError).value.reason, errors.QUEUE_TIMEOUT)
        self.assertEqual(self.queue.timed_out, 2)

    def test_one_timer(self) -> None:
        """However many wait, there is one delayed call, and none when nobody does."""
        waiting = [self.queue.wait(session()) for _ in range(3)]
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.free = [server("a"), server("b"), server("c")]
        self.queue.serve()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual([self.successResultOf(one).name for one in waiting], ["c", "b", "a"])

    def test_full(self) -> None:
        """Past its size, the queue refuses at once."""
        for _ in range(3):
            self.queue.wait(session())
        failure = self.failureResultOf(self.queue.wait(session()), ExchangeError)
        self.assertIs(failure.value.reason, errors.CONNECTION_LIMIT_REACHED)
        self.assertEqual(self.queue.refused, 1)
        self.assertEqual(repr(self.queue), "<Queue 3 of 3>")

    def test_no_queue(self) -> None:
        """With size 0 nobody waits."""
        queue = Queue(QueueSettings(size=0), self.clock, lambda facts: None)
        self.failureResultOf(queue.wait(session()), ExchangeError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_leaving(self) -> None:
        """Whoever goes away leaves the queue."""
        first, second = self.queue.wait(session()), self.queue.wait(session())
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.free = [server("a")]
        self.queue.serve()
        self.successResultOf(second)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_leaving_when_another_times_out(self) -> None:
        """Someone who leaves because another's time was up is not told twice."""
        first, second = self.queue.wait(session()), self.queue.wait(session())
        first.addErrback(lambda failure: second.cancel())
        self.clock.advance(5)
        self.failureResultOf(second, CancelledError)
        self.assertEqual(self.queue.timed_out, 1)

    def test_served_while_serving(self) -> None:
        """A server given back at once goes to the next, without growing the stack."""
        queue = Queue(QueueSettings(size=5000), self.clock, lambda facts: self.free.pop() if self.free else None)
        one = server("a")
        served: list[int] = []

        def at_once(got: Server, number: int) -> None:
            served.append(number)
            self.free.append(got)
            queue.serve()

        for number in range(5000):
            queue.wait(session()).addCallback(at_once, number)
        self.free.append(one)
        queue.serve()
        self.assertEqual(served, list(range(5000)))

    def test_take_over(self) -> None:
        """At a reload those who wait go on waiting, with the time they have left, in order of arrival."""
        first = self.queue.wait(session())
        self.clock.advance(3)
        second = self.queue.wait(session())
        newer = Queue(
            QueueSettings(size=10, timeout=60.0), self.clock, lambda facts: self.free.pop() if self.free else None
        )
        newer.take_over(self.queue)
        self.assertEqual((len(self.queue), len(newer)), (0, 2))
        self.clock.advance(2)
        self.failureResultOf(first, ExchangeError)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(len(newer), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class PoolQueueTests(TestCase):
    """The queue of a pool."""

    def setUp(self) -> None:
        self.one = server("a", max_connections=1)
        self.watched = Watched([self.one])
        self.pool = self.watched.pool
        self.pool.begin(self.one)

    def test_all_full(self) -> None:
        """When every server is full, nobody is chosen, and waiting makes sense."""
        self.assertIsNone(self.pool.choose(session()))
        self.assertTrue(self.pool.all_full)
        self.assertEqual(self.pool.refusal(session()).detail, "pool web: 1 full")

    def test_served_at_the_end_of_another(self) -> None:
        """The end of one exchange begins the next in line, already counted."""
        waiting = self.pool.wait(session())
        self.pool.end(self.one, 0.01, True)
        self.assertIs(self.successResultOf(waiting), self.one)
        self.assertEqual((self.one.active, self.one.requests), (1, 2))

    def test_served_when_the_limit_is_raised(self) -> None:
        """More room serves those who wait."""
        waiting = self.pool.wait(session())
        self.one.max_connections = 2
        self.assertIs(self.successResultOf(waiting), self.one)

    def test_down_is_not_full(self) -> None:
        """When servers are down and not full, waiting makes no sense."""
        watched = Watched([server("a")], panic=False)
        watched.servers[0].healthy = False
        watched.pool.refresh()
        self.assertIsNone(watched.pool.choose(session()))
        self.assertFalse(watched.pool.all_full)
