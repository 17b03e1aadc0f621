"""Tests of the guards and accounts."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from balancer.errors import PROXY_INTERNAL_ERROR, ExchangeError
from balancer.hooks.accounting import COOL_DOWN, Account
from balancer.hooks.guards import guarded
from balancer.hooks.interfaces import (
    Choice,
    IAccessLogFormat,
    IAlgorithm,
    IFilter,
    IFlags,
    IMatcher,
    IObservingAlgorithm,
    IProbe,
)
from balancer.hooks.waiting import PATIENCE
from balancer.model.address import Peer
from balancer.model.exchange import Exchange, Reply
from balancer.model.facts import RequestFacts
from balancer.pools.dialing import is_ours

_FACTS = RequestFacts("GET", "/", [(b"Host", b"a")], Peer("10.0.0.1", 1), Peer("10.0.0.2", 80))
_CHOICE = Choice(None, lambda: 0.5, 0.0)


class _Obedient:
    """Does whatever the test says, in every method."""

    key = None
    stable = False
    body_limit = 0

    def __init__(self, does: Any) -> None:
        self.does = does

    def _do(self, *arguments: Any) -> Any:
        if isinstance(self.does, BaseException):
            raise self.does
        return self.does(*arguments) if callable(self.does) else self.does

    prepare = candidates = finished = matches = request = response = inspect = probe = exchange = session = describe = (
        _do
    )
    value = _do


class _Plain:
    def exchange(self, record: Any) -> str:
        return "plain"

    session = exchange


class GuardTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.account = Account("package", "kind", "name", 3, self.clock.seconds)

    def guard(self, kind: str, interface: Any, does: Any, *, deny: bool = False) -> Any:
        made = implementer(interface)(type("Made", (_Obedient,), {}))(does)
        self.inner = made
        self.made = guarded(kind, made, self.account, deny=deny, clock=lambda: self.clock, fallback=_Plain)
        return self.made

    def errors(self) -> int:
        """Return how many errors were logged, and forget them."""
        return len(self.flushLoggedErrors())


class AlgorithmTests(GuardTestCase):
    def candidates(self, does: Any) -> list[Any]:
        guard = self.guard("algorithms", IAlgorithm, lambda *_: None)
        self.servers = [object(), object(), object()]
        guard.prepare(self.servers)
        self.inner.does = does
        return list(guard.candidates(_CHOICE))

    def test_order(self) -> None:
        """The algorithm's order is kept; a server named twice comes once."""
        found = self.candidates(lambda _: iter([*self.servers[::-1], *self.servers]))
        self.assertEqual(found, self.servers[::-1])
        self.assertEqual((self.account.calls, self.account.errors), (2, 0))

    def test_strangers(self) -> None:
        """What is no server of the pool ends the candidates, as does an exception midway."""

        def midway(_: Any) -> Any:
            yield self.servers[1]
            raise KeyError("x")

        self.assertEqual(self.candidates(lambda _: [self.servers[0], object()]), [self.servers[0]])
        self.assertEqual(self.candidates(midway), [self.servers[1]])
        self.assertEqual(self.account.errors, 2)
        self.errors()

    def test_endless(self) -> None:
        """An algorithm that never ends is not asked further than there are servers."""

        def endless(_: Any) -> Any:
            while True:
                yield from self.servers

        self.assertEqual(self.candidates(endless), self.servers)

    def test_nothing(self) -> None:
        """None, or no server at all, is an error."""
        self.assertEqual(self.candidates(lambda _: None), [])
        self.assertEqual(self.candidates(lambda _: []), [])
        self.assertEqual(self.account.errors, 2)
        self.errors()

    def test_over_and_over(self) -> None:
        """An algorithm that names one server for ever is given up; the servers it named come first."""

        def stuck(_: Any) -> Any:
            while True:
                yield self.servers[2]

        self.assertEqual(self.candidates(stuck), [self.servers[2]])
        self.assertIn("over and over", self.account.last_error)
        self.errors()

    def test_prepared_later(self) -> None:
        """Servers that it could not be given while it was switched off are given to it when it is tried again."""
        guard = self.guard("algorithms", IAlgorithm, KeyError("x"))
        first, second = [object()], [object(), object()]
        for _ in range(3):
            guard.prepare(first)
        self.assertTrue(self.account.tripped)
        guard.prepare(second)
        self.assertEqual(list(guard.candidates(_CHOICE)), [])
        given: list[Any] = []

        def prepare_and_yield(argument: Any) -> Any:
            return iter(given[-1]) if isinstance(argument, Choice) else given.append(argument)

        self.inner.does = prepare_and_yield
        self.clock.advance(COOL_DOWN)
        self.assertEqual(list(guard.candidates(_CHOICE)), second)
        self.assertEqual((given, self.account.tripped), ([second], False))
        self.errors()

    def test_first_only(self) -> None:
        """The pool may stop after the first server; only what it asked for was computed, and it counts as one call."""
        asked = []

        def lazily(_: Any) -> Any:
            for server in self.servers:
                asked.append(server)
                yield server

        self.candidates(lambda _: iter(self.servers))
        self.inner.does = lazily
        before = self.account.calls
        guard = self.made
        self.assertIs(next(iter(guard.candidates(_CHOICE))), self.servers[0])
        self.assertEqual((asked, self.account.calls - before, self.account.errors), (self.servers[:1], 1, 0))

    def test_outcomes(self) -> None:
        """An algorithm that learns is told; its failure to learn hurts nobody."""
        guard = self.guard("algorithms", IObservingAlgorithm, KeyError("x"))
        self.assertTrue(IObservingAlgorithm.providedBy(guard))
        guard.finished(object(), 0.1, True)
        self.assertEqual((self.account.errors, self.errors()), (1, 1))


class MatcherTests(GuardTestCase):
    def test_matches(self) -> None:
        """What it returns becomes a bool; when it raises the condition does not hold."""
        self.assertIs(self.guard("matchers", IMatcher, "yes").matches(_FACTS), True)
        self.assertIs(self.guard("matchers", IMatcher, KeyError("x")).matches(_FACTS), False)
        self.assertIs(self.guard("matchers", IMatcher, lambda _: Deferred()).matches(_FACTS), False)
        self.assertEqual(self.guard("matchers", IMatcher, KeyError("x")).describe(), "name")
        self.assertEqual(self.guard("matchers", IMatcher, SystemExit()).matches(_FACTS), False)
        self.errors()

    def test_trips(self) -> None:
        """After failures in a row it is not called any more, until one call after the cool-down goes well."""
        guard = self.guard("matchers", IMatcher, KeyError("x"))
        for _ in range(5):
            guard.matches(_FACTS)
        self.assertEqual((self.account.calls, self.account.skipped, self.account.tripped), (3, 2, True))
        self.inner.does = True
        self.assertIs(guard.matches(_FACTS), False)
        self.clock.advance(COOL_DOWN)
        self.assertIs(guard.matches(_FACTS), True)
        self.assertFalse(self.account.tripped)
        self.assertEqual(self.errors(), 1)

    def test_slow(self) -> None:
        """A call past its budget counts towards tripping; what it returned is used."""

        def slow(_: Any) -> bool:
            self.clock.advance(0.06)
            return True

        guard = self.guard("matchers", IMatcher, slow)
        self.assertEqual([guard.matches(_FACTS) for _ in range(4)], [True, True, True, False])
        self.assertEqual((self.account.overruns, self.account.tripped), (3, True))
        self.assertAlmostEqual(self.account.seconds, 0.18)

    def test_success_between(self) -> None:
        """A call that goes well begins the count anew."""
        guard = self.guard("matchers", IMatcher, None)
        for does in (KeyError("x"), KeyError("x"), True) * 3:
            self.inner.does = does
            guard.matches(_FACTS)
        self.assertEqual((self.account.errors, self.account.tripped), (6, False))
        self.errors()


class FilterTests(GuardTestCase):
    def exchange(self) -> Exchange:
        return Exchange(_FACTS, [(b"Host", b"a")])

    def test_undone(self) -> None:
        """What a filter changed before it raised is undone; the exchange goes on, or ends, as the operator says."""

        def spoil(exchange: Exchange) -> None:
            exchange.target = "/spoilt"
            exchange.headers.append((b"X", b"spoilt"))
            raise KeyError("x")

        exchange = self.exchange()
        self.assertIsNone(self.guard("filters", IFilter, spoil).request(exchange))
        self.assertEqual((exchange.target, exchange.headers), ("/", [(b"Host", b"a")]))
        reply = self.guard("filters", IFilter, spoil, deny=True).request(exchange)
        self.assertEqual((reply.status, reply.reason), (500, "proxy_internal_error"))
        self.errors()

    def test_junk(self) -> None:
        """A result that is no Reply is an error, now or later."""
        self.assertIsNone(self.guard("filters", IFilter, 7).request(self.exchange()))
        later = self.guard("filters", IFilter, lambda _: succeed("x")).request(self.exchange())
        self.assertIsNone(self.successResultOf(later))
        self.assertEqual(self.account.errors, 2)
        self.errors()

    def test_late(self) -> None:
        """A Deferred that does not fire in time is given up; one that does is obeyed."""
        waiting: Deferred[Any] = Deferred()
        later = self.guard("filters", IFilter, lambda _: waiting).request(self.exchange())
        self.clock.advance(PATIENCE)
        self.assertIsNone(self.successResultOf(later))
        reply = Reply(418)
        self.assertIs(
            self.successResultOf(self.guard("filters", IFilter, lambda _: succeed(reply)).request(self.exchange())),
            reply,
        )
        self.errors()

    def test_always_late(self) -> None:
        """A filter whose Deferreds never fire is switched off like one that raises."""
        guard = self.guard("filters", IFilter, lambda _: Deferred())
        for _ in range(3):
            later = guard.request(self.exchange())
            self.clock.advance(PATIENCE)
            self.assertIsNone(self.successResultOf(later))
        self.assertTrue(self.account.tripped)
        self.assertIsNone(guard.request(self.exchange()))
        self.errors()

    def test_cancelled(self) -> None:
        """When the client goes the filter's Deferred is cancelled, which is no failure; one it cancels itself is."""
        waiting: Deferred[Any] = Deferred()
        later = self.guard("filters", IFilter, lambda _: waiting).request(self.exchange())
        later.cancel()
        self.failureResultOf(later, CancelledError)
        self.assertEqual(self.account.errors, 0)
        waiting = Deferred()
        later = self.guard("filters", IFilter, lambda _: waiting).request(self.exchange())
        waiting.cancel()
        self.assertIsNone(self.successResultOf(later))
        self.assertEqual(self.account.errors, 1)
        self.errors()

    def test_smuggling(self) -> None:
        """A header that would frame the body otherwise, or ends its line, is undone as if the filter had raised."""
        for pair in ((b"Content-Length", b"9"), (b"X", b"y\r\nZ: z")):
            for later in (False, True):

                def spoil(exchange: Exchange, pair: Any = pair, later: Any = later) -> Any:
                    exchange.headers.append(pair)
                    return succeed(None) if later else None

                exchange = self.exchange()
                self.account = Account("package", "kind", "name", 3, self.clock.seconds)
                found = self.guard("filters", IFilter, spoil).request(exchange)
                self.assertIsNone(self.successResultOf(found) if later else found)
                self.assertEqual(self.account.errors, 1)
                self.assertEqual(exchange.headers, [(b"Host", b"a")])
        self.errors()

    def test_response_denied(self) -> None:
        """Where its effect must not be missing, a response that the filter failed on is not sent, tripped or not."""
        guard = self.guard("filters", IFilter, KeyError("x"), deny=True)
        for _ in range(5):
            self.assertIs(
                self.assertRaises(ExchangeError, guard.response, self.exchange()).reason, PROXY_INTERNAL_ERROR
            )
        self.assertTrue(self.account.tripped)
        self.assertEqual(guard.request(self.exchange()).status, 500)
        self.errors()

    def test_response(self) -> None:
        """What it did to a response before it raised is undone."""

        def spoil(exchange: Exchange) -> None:
            exchange.status = 999
            raise KeyError("x")

        exchange = self.exchange()
        exchange.status = 200
        self.guard("filters", IFilter, spoil).response(exchange)
        self.assertEqual(exchange.status, 200)
        self.errors()


class OtherTests(GuardTestCase):
    def test_probes(self) -> None:
        """A probe that raises, or returns no Deferred, fails as for a fault of ours: no server goes down for it."""
        for does in (KeyError("x"), "fine", KeyError("x"), "tripped"):
            self.assertTrue(is_ours(self.failureResultOf(self.guard("probes", IProbe, does).probe(None, None))))
        self.clock.advance(COOL_DOWN)
        self.assertEqual(
            self.successResultOf(self.guard("probes", IProbe, lambda *_: succeed("ok")).probe(None, None)), "ok"
        )
        self.errors()

    def test_flags(self) -> None:
        """A source that raises, or says what is no flag, knows none; a good answer passes."""
        self.assertEqual(self.guard("flags", IFlags, "on").value("x", None), "on")
        self.assertIsNone(self.guard("flags", IFlags, lambda *_: None).value("x", None))
        for does in (KeyError("x"), True, lambda *_: succeed("on")):
            self.assertIsNone(self.guard("flags", IFlags, does).value("x", None))
        self.errors()

    def test_formats(self) -> None:
        """A line that cannot be made is written by the fallback; line ends in one are escaped."""
        self.assertEqual(self.guard("access_log_formats", IAccessLogFormat, "a\nb").exchange(None), "a\\nb")
        for does in (KeyError("x"), 7):
            self.assertEqual(self.guard("access_log_formats", IAccessLogFormat, does).session(None), "plain")
        self.errors()

    def test_report(self) -> None:
        """The account tells what happened in plain values."""
        self.guard("matchers", IMatcher, KeyError("x")).matches(_FACTS)
        report = self.account.report()
        self.assertEqual((report["errors"], report["last_error"], report["tripped"]), (1, "KeyError: 'x'", False))
        self.assertEqual(str(self.account), "package (kind name)")
        self.errors()
