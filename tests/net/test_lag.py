"""The lag of the loop, and how long a connection has waited."""

from __future__ import annotations

import socket
import sys

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from balancer.net.lag import INTERVAL, LoopLag, waited


class LoopLagTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.seen: list[float] = []
        self.lag = LoopLag(self.clock, lambda seconds: self.seen.append(round(seconds, 3)))
        self.lag.start()

    def test_a_loop_that_is_in_time(self) -> None:
        """Is measured at each interval, and does not lag."""
        for _ in range(5):
            self.clock.advance(INTERVAL)
        self.assertEqual(self.seen, [0.0] * 5)
        self.assertEqual(self.lag.buckets[0], 5)

    def test_a_late_turn(self) -> None:
        """Is measured once, by how late it was; the next is measured from then on."""
        self.clock.advance(INTERVAL + 0.3)
        self.clock.advance(INTERVAL)
        self.assertEqual(self.seen, [0.3, 0.0])
        self.assertEqual(sum(self.lag.buckets), 2)
        self.assertAlmostEqual(self.lag.total, 0.3)
        self.assertEqual(repr(self.lag), "<LoopLag 150.0 ms on average of 2>")

    def test_who_waited_in_front(self) -> None:
        """The longest wait noted counts, once."""
        for _ in range(10):
            self.clock.advance(INTERVAL)
        self.seen.clear()
        self.lag.note(0.2)
        self.lag.note(0.4)
        self.lag.note(0.1)
        self.clock.advance(INTERVAL)
        self.clock.advance(INTERVAL)
        self.assertEqual(self.seen, [0.4, 0.0])

    def test_who_waited_while_all_was_built(self) -> None:
        """Has waited for the loop only since it runs: a start that took long is no overload."""
        late = LoopLag(self.clock, lambda seconds: self.seen.append(round(seconds, 3)))
        late.note(7.0)
        late.start()
        self.clock.advance(0.02)
        late.note(7.0)
        self.seen.clear()
        self.clock.advance(INTERVAL - 0.02)
        self.assertIn(0.02, self.seen)
        self.assertLess(max(self.seen), 0.1)

    def test_a_look_in_the_middle_of_a_turn(self) -> None:
        """Measures only what is late enough already, and not more often than ever."""
        clock = self.clock
        self.lag.look(0.25)
        clock.rightNow += INTERVAL + 0.2
        self.lag.look(0.25)
        self.assertEqual(self.seen, [])
        clock.rightNow += 0.1
        self.lag.look(0.25)
        self.lag.look(0.25)
        self.assertEqual(self.seen, [0.3])
        clock.rightNow += INTERVAL
        self.lag.look(0.25)
        self.assertEqual(self.seen, [0.3, 0.35])
        clock.advance(0)
        self.assertEqual(self.seen, [0.3, 0.35, 0.35])

    def test_it_stops(self) -> None:
        """Nothing is left to come, and no look measures."""
        self.lag.stop()
        self.lag.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(9)
        self.lag.look(0.1)
        self.assertEqual(self.seen, [])


class WaitedTests(SynchronousTestCase):
    def test_a_connection(self) -> None:
        """One just made has waited for a moment only; the unit is seconds."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            with socket.create_connection(listening.getsockname()) as client:
                accepted, _ = listening.accept()
                client.sendall(b"x")
                with accepted:
                    self.assertTrue(0.0 <= waited(accepted.fileno()) < 5.0)

    def test_one_that_waits(self) -> None:
        """Its wait grows."""
        if sys.platform != "linux":
            return
        with socket.create_server(("127.0.0.1", 0)) as listening:
            with socket.create_connection(listening.getsockname()):
                accepted, _ = listening.accept()
                with accepted:
                    while not waited(accepted.fileno()):
                        pass
                    self.assertGreater(waited(accepted.fileno()), 0.0)

    def test_what_is_no_connection(self) -> None:
        """A unix socket has no such thing; it stays as it was."""
        one, other = socket.socketpair()
        with one, other:
            self.assertEqual(waited(one.fileno()), 0.0)
            other.send(b"still open")
            self.assertEqual(one.recv(20), b"still open")
