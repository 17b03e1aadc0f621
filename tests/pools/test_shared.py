"""Tests for :mod:`balancer.pools.shared`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from balancer import errors
from balancer.errors import ExchangeError
from balancer.pools.shared import HTTP2Settings, Opening, SharedConnections


class _Connection:
    """Carries exchanges that are its own name."""

    def __init__(self, shared: SharedConnections, name: str, capacity: int = 2, expires: float = 1000.0) -> None:
        self._shared = shared
        self.name = name
        self.capacity = capacity
        self.expires = expires
        self.streams = 0
        self.retired = False

    def exchange(self) -> str:
        self.streams += 1
        self._shared.began()
        return self.name

    def end(self, now: float = 0.0) -> None:
        self.streams -= 1
        self._shared.ended(self, now)

    def retire(self) -> None:
        self.retired = True


class _SharedTestCase(SynchronousTestCase):
    streams = 2

    def setUp(self) -> None:
        self.shared = SharedConnections(HTTP2Settings(streams=self.streams))
        self.got: list[Any] = []

    def wait(self, opening: Opening) -> Deferred[Any]:
        waiting = self.shared.wait(opening)
        waiting.addBoth(self.got.append)
        return waiting

    def add(self, name: str, capacity: int = 2, expires: float = 1000.0) -> _Connection:
        """Open a connection for which nobody waited."""
        connection = _Connection(self.shared, name, capacity, expires)
        self.assertEqual(self.shared.opened(self.shared.open(), connection), [])
        return connection


class ChoosingTests(_SharedTestCase):
    def test_least_loaded(self) -> None:
        """The connection with the fewest exchanges is next, and none that is full."""
        self.add("a")
        self.add("b")
        self.assertEqual([self.shared.take(0.0) for _ in range(5)], ["a", "b", "a", "b", None])
        self.assertEqual(self.shared.in_flight, 4)

    def test_age(self) -> None:
        """What is too old carries on with what it has, and takes nothing new."""
        old = self.add("old", expires=5.0)
        self.assertEqual(self.shared.take(4.0), "old")
        self.assertIsNone(self.shared.take(5.0))
        self.assertEqual((old.retired, old.streams, len(self.shared)), (True, 1, 0))

    def test_forgotten(self) -> None:
        """A connection that is gone is given nothing; it can be forgotten once."""
        connection = self.add("a")
        self.assertEqual([self.shared.forget(connection), self.shared.forget(connection)], [True, False])
        self.assertIsNone(self.shared.decide(0.0))


class OpeningTests(_SharedTestCase):
    def test_burst(self) -> None:
        """So many connections are opened as the requests need, not one for each."""
        openings: list[Opening] = []
        for _ in range(5):
            found = self.shared.decide(0.0)
            if found is None:
                found = self.shared.open()
                openings.append(found)
            self.wait(found)
        self.assertEqual([len(opening.waiting) for opening in openings], [2, 2, 1])
        for number, opening in enumerate(openings):
            self.assertEqual(self.shared.opened(opening, _Connection(self.shared, str(number))), [])
        self.assertEqual(self.got, ["0", "0", "1", "1", "2"])
        self.assertEqual(self.shared.decide(0.0), "2")

    def test_less_than_promised(self) -> None:
        """Those for whom a server has less room than was thought are told apart; the next time it is known."""
        opening = self.shared.open()
        one, two = self.wait(opening), self.wait(opening)
        self.assertEqual(self.shared.opened(opening, _Connection(self.shared, "a", capacity=1)), [two])
        self.assertEqual((one.called, two.called, self.got), (True, False, ["a"]))
        self.assertIsNone(self.shared.decide(0.0))
        self.wait(self.shared.open())
        self.assertIsNone(self.shared.decide(0.0))

    def test_failure(self) -> None:
        """All who wait for a connection are told that it could not be made; those who wait for another are not."""
        failing, other = self.shared.open(), self.shared.open()
        for opening in (failing, failing, other):
            self.wait(opening)
        self.shared.failed(failing, Failure(ExchangeError(errors.CONNECTION_REFUSED)))
        self.assertEqual([failure.check(ExchangeError) for failure in self.got], [ExchangeError, ExchangeError])
        self.assertIs(self.shared.decide(0.0), other)

    def test_room_meanwhile(self) -> None:
        """Room that comes free on another connection goes to those who wait for a new one."""
        connection = self.add("a")
        self.shared.take(0.0)
        self.shared.take(0.0)
        self.wait(self.shared.open())
        connection.end()
        self.assertEqual((self.got, connection.streams), (["a"], 2))

    def test_cancelled(self) -> None:
        """Who no longer waits takes nothing; an attempt for which nobody waits is given up."""
        given_up: list[str] = []
        opening = self.shared.open()
        opening.cancel = lambda: given_up.append("given up")
        one, two = self.wait(opening), self.wait(opening)
        one.cancel()
        self.assertEqual((given_up, opening.waiting), ([], [two]))
        two.cancel()
        self.assertEqual((given_up, opening.waiting), (["given up"], []))

    def test_cancelled_elsewhere(self) -> None:
        """The same for one that was sent on to another opening."""
        first, second = self.shared.open(), self.shared.open()
        waiting = self.wait(first)
        (left,) = self.shared.opened(first, _Connection(self.shared, "a", capacity=0))
        second.waiting.append(left)
        waiting.cancel()
        self.assertEqual(second.waiting, [])

    def test_not_shared(self) -> None:
        """A server that wants HTTP/1.1 is found out once; then nobody waits for another's connection."""
        opening = self.shared.open()
        waiting = self.wait(opening)
        self.assertEqual(self.shared.is_unshared(opening), [waiting])
        self.wait(self.shared.open())
        self.assertIsNone(self.shared.decide(0.0))
        self.add("a")
        self.assertEqual(self.shared.decide(0.0), "a")


class ClosingTests(_SharedTestCase):
    def test_beyond_need(self) -> None:
        """A connection without which the others would have carried all for a while is closed, the least loaded first."""
        connections = [self.add(name) for name in "abc"]
        for _ in range(5):
            self.shared.take(0.0)  # a and b carry two
        connections[0].end(1.0)
        connections[2].end(2.0)
        self.assertEqual([each.retired for each in connections], [False, False, False])
        connections[0].end(12.0)  # there were never more than four at a time, since the first look
        self.assertEqual([each.retired for each in connections], [True, False, False])
        self.assertEqual(repr(self.shared), "<SharedConnections 2 with 2 exchanges>")

    def test_last(self) -> None:
        """The last connection stays."""
        connection = self.add("a")
        self.shared.take(0.0)
        connection.end(20.0)
        connection.streams = 1
        connection.end(40.0)
        self.assertEqual((connection.retired, len(self.shared)), (False, 1))

    def test_giving_up(self) -> None:
        """Where descriptors are short, those that carry nothing are closed, as many as are wanted."""
        busy, *idle = [self.add(name) for name in "abc"]
        busy.exchange()
        self.assertEqual([self.shared.give_up(1), self.shared.give_up(5)], [1, 1])
        self.assertEqual(([each.retired for each in idle], busy.retired), ([True, True], False))

    def test_drop_and_close(self) -> None:
        """Connections finish what they carry; after close, so do those that are being made."""
        opening = self.shared.open()
        old = self.add("old")
        self.shared.drop()
        self.assertEqual((old.retired, len(self.shared)), (True, 0))
        self.wait(opening)
        self.shared.close()
        late = _Connection(self.shared, "late")
        self.shared.opened(opening, late)
        self.assertEqual((self.got, late.retired, len(self.shared)), (["late"], True, 0))
