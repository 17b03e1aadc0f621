"""Tests of active health checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from balancer import errors
from balancer.errors import ExchangeError
from balancer.hooks.interfaces import IProbe, IServer
from balancer.pools.health import HealthSettings
from tests.pools.pieces import Kept, Watched, draws

STEADY = HealthSettings(interval=5.0, timeout=2.0, rise=2, fall=3, jitter=0.0)


@implementer(IProbe)
class Asked:
    """A probe that the test answers."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Deferred[str]]] = []
        self.cancelled: list[str] = []

    def probe(self, connect: Callable[[Any], Deferred[Any]], server: IServer) -> Deferred[str]:
        """Note who is asked."""
        name = server.name
        answer: Deferred[str] = Deferred(lambda _: self.cancelled.append(name))
        self.asked.append((name, answer))
        return answer

    def well(self) -> None:
        """Answer the latest probe well."""
        self.asked[-1][1].callback("200 OK")

    def ill(self) -> None:
        """Answer the latest probe badly."""
        self.asked[-1][1].errback(ValueError("503 Service Unavailable"))


def unused(address: Any, protocol: Any, timeout: float) -> Deferred[Any]:
    """For probes that connect to nothing."""
    raise AssertionError("nothing was to be connected")


class HealthTests(TestCase):
    """One server, asked again and again."""

    def setUp(self) -> None:
        self.probe = Asked()
        self.watched = Watched("a", probe=self.probe, health=STEADY, panic=False, draw=lambda: 0.5)
        self.server = self.watched.servers[0]
        self.clock = self.watched.clock
        self.watched.pool.start(unused)
        self.addCleanup(self.watched.pool.stop)

    def rounds(self, answers: str) -> None:
        """Answer one probe for each letter: + well, - badly, . not at all."""
        for answer in answers:
            before = len(self.probe.asked)
            while len(self.probe.asked) == before:
                self.clock.advance(0.5)
            if answer == "+":
                self.probe.well()
            elif answer == "-":
                self.probe.ill()
            else:
                self.clock.advance(2.0)

    def test_up_until_asked(self) -> None:
        """Before the first answer a server counts as well, and it is asked within a second."""
        self.assertEqual(self.watched.chosen(), {"a"})
        self.clock.advance(1.0)
        self.assertEqual(len(self.probe.asked), 1)

    def test_first_answer_decides(self) -> None:
        """A server that is dead from the start is out after one probe."""
        self.rounds("-")
        self.assertEqual(self.watched.chosen(), set())
        self.assertEqual(str(self.watched.events[0]), "server a of pool web went down: 503 Service Unavailable")

    def test_fall(self) -> None:
        """Later, three bad answers in a row take it down, two do not."""
        self.rounds("+--+--")
        self.assertTrue(self.server.up)
        self.rounds("-")
        self.assertFalse(self.server.up)
        self.assertEqual(self.server.reason, "503 Service Unavailable")
        self.assertEqual(self.watched.kinds(), ["server_went_down"])

    def test_kept_connections_are_closed(self) -> None:
        """With a server that goes down go the connections that were kept to it; while it is well they stay."""
        kept = Kept()
        self.server.idle.put(kept, 0)
        self.rounds("+--")
        self.assertFalse(kept.closed)
        self.rounds("-")
        self.assertTrue(kept.closed)

    def test_rise(self) -> None:
        """Two good answers in a row bring it back, one does not."""
        self.rounds("-+-+")
        self.assertFalse(self.server.up)
        self.rounds("+")
        self.assertTrue(self.server.up)
        self.assertEqual((self.server.reason, self.watched.chosen()), ("", {"a"}))
        self.assertEqual(self.watched.kinds(), ["server_went_down", "server_came_up"])

    def test_timeout(self) -> None:
        """No answer in time is a bad answer; the probe is cancelled."""
        self.rounds("+...")
        self.assertFalse(self.server.up)
        self.assertEqual(self.server.reason, "no answer within 2 s")
        self.assertEqual(self.probe.cancelled, ["a", "a", "a"])

    def test_interval(self) -> None:
        """Probes begin an interval apart, however long they take."""
        self.clock.advance(0.5)
        self.clock.advance(1.5)
        self.probe.well()
        self.clock.advance(3.4)
        self.assertEqual(len(self.probe.asked), 1)
        self.clock.advance(0.1)
        self.assertEqual(len(self.probe.asked), 2)

    def test_stop_cancels(self) -> None:
        """A stopped pool cancels the probe under way, learns nothing from it and leaves nothing scheduled."""
        self.clock.advance(0.5)
        self.watched.pool.stop()
        self.assertEqual(self.probe.cancelled, ["a"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.watched.kinds(), [])
        self.assertTrue(self.server.up)

    def test_our_fault(self) -> None:
        """That this process has no descriptors left says nothing of the server."""
        self.rounds("+")
        for _ in range(5):
            self.clock.advance(5.0)
            self.probe.asked[-1][1].errback(ExchangeError(errors.PROXY_INTERNAL_ERROR, "too many open files"))
        self.assertTrue(self.server.up)

    def test_nowhere_to_ask(self) -> None:
        """A server whose name does not resolve is not probed until it does."""
        self.server.resolved(())
        self.clock.advance(0.5)
        self.clock.advance(5.0)
        self.assertEqual(self.probe.asked, [])
        self.server.resolved((self.server.address,))
        self.clock.advance(5.0)
        self.assertEqual(len(self.probe.asked), 1)


class ManyServersTests(TestCase):
    """Several servers, odd probes."""

    def test_spread(self) -> None:
        """Servers are not all asked at the same moment, but all within the first second."""
        probe = Asked()
        watched = Watched("abcdefgh", probe=probe, health=STEADY, draw=draws(3))
        watched.pool.start(unused)
        self.addCleanup(watched.pool.stop)
        watched.clock.advance(0.3)
        self.assertTrue(0 < len(probe.asked) < 8)
        watched.clock.advance(0.7)
        self.assertCountEqual([name for name, _ in probe.asked], "abcdefgh")

    def test_jitter(self) -> None:
        """Intervals vary by a fifth, up and down."""
        starts: list[float] = []

        @implementer(IProbe)
        class Noting:
            def probe(self, connect: Any, server: Any) -> Deferred[str]:
                starts.append(watched.clock.seconds())
                return succeed("well")

        watched = Watched("a", probe=Noting(), health=HealthSettings(interval=10.0, jitter=0.2), draw=draws(7))
        watched.pool.start(unused)
        self.addCleanup(watched.pool.stop)
        watched.clock.pump([0.1] * 4000)
        spans = [after - before for before, after in zip(starts, starts[1:], strict=False)]
        self.assertGreaterEqual(min(spans), 7.9)
        self.assertLessEqual(max(spans), 12.1)
        self.assertGreater(max(spans) - min(spans), 2.0)

    def test_probe_that_raises(self) -> None:
        """A probe that raises, or fails at once, is a bad answer with its words."""

        @implementer(IProbe)
        class Raising:
            def probe(self, connect: Any, server: Any) -> Deferred[str]:
                if server.name == "a":
                    raise RuntimeError("a bug")
                return fail(RuntimeError()) if server.name == "b" else succeed("well")

        watched = Watched("abc", probe=Raising(), health=STEADY)
        watched.pool.start(unused)
        self.addCleanup(watched.pool.stop)
        watched.clock.advance(1.0)
        self.assertEqual([one.reason for one in watched.servers], ["a bug", "RuntimeError", ""])
        self.assertEqual(watched.chosen(), {"c"})

    def test_probe_that_cannot_be_cancelled(self) -> None:
        """A probe whose canceller raises is given up all the same, and asked again."""
        asked: list[Deferred[str]] = []

        def canceller(_: Any) -> None:
            raise RuntimeError("no")

        @implementer(IProbe)
        class Stubborn:
            def probe(self, connect: Any, server: Any) -> Deferred[str]:
                asked.append(Deferred(canceller))
                return asked[-1]

        watched = Watched("ab", probe=Stubborn(), health=STEADY, draw=lambda: 0.5)
        watched.pool.start(unused)
        watched.clock.advance(0.5)
        watched.clock.advance(2.0)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)
        self.assertFalse(watched.servers[0].up)
        asked[0].callback("too late")
        self.assertFalse(watched.servers[0].up)
        watched.clock.advance(3.0)
        self.assertEqual(len(asked), 4)
        watched.pool.stop()
        self.flushLoggedErrors(RuntimeError)

    def test_connects_to_the_server(self) -> None:
        """What the probe connects goes to the server's address, within the probe's time."""
        wanted: list[Any] = []

        def connect(address: Any, protocol: Any, timeout: float) -> Deferred[Any]:
            wanted.append((address, protocol, timeout))
            return succeed(protocol)

        @implementer(IProbe)
        class Connecting:
            def probe(self, connect: Any, server: Any) -> Deferred[str]:
                return connect("protocol")

        watched = Watched("a", probe=Connecting(), health=STEADY)
        watched.pool.start(connect)
        self.addCleanup(watched.pool.stop)
        watched.clock.advance(1.0)
        self.assertEqual(wanted, [(watched.servers[0].address, "protocol", 2.0)])
