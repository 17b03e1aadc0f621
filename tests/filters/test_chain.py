"""Tests of running filters in order and back."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.trial import unittest

from balancer.errors import ExchangeError
from balancer.filters.chain import Faults, run_requests, run_responses
from balancer.model.exchange import Exchange, Reply
from tests.routing.making import facts


class Noting:
    """A filter that notes its calls and returns or raises what it was given."""

    body_limit = 0

    def __init__(self, name: str, calls: list[str], outcome: Any = None, response: Exception | None = None) -> None:
        self.name = name
        self._calls = calls
        self._outcome = outcome
        self._response = response

    def request(self, exchange: Exchange) -> Any:
        self._calls.append(f"{self.name}>")
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def response(self, exchange: Exchange) -> None:
        self._calls.append(f"<{self.name}")
        if self._response is not None:
            raise self._response

    def describe(self, exchange: Exchange) -> str:
        return self.name


class ChainTests(unittest.TestCase):
    """In order on the way in, in reverse on the way out."""

    def setUp(self) -> None:
        self.calls: list[str] = []
        self.events: list[Any] = []
        self.faults = Faults(Logger(observer=self.events.append))
        self.exchange = Exchange(facts(), [])

    def filters(self, *outcomes: Any) -> list[Any]:
        return [Noting(name, self.calls, outcome) for name, outcome in zip("abc", outcomes, strict=False)]

    def run_(self, filters: list[Any]) -> Any:
        return run_requests(filters, self.exchange, self.faults)

    def test_order(self) -> None:
        """Requests in order, responses in reverse, each once; nothing waits."""
        self.assertIsNone(self.run_(self.filters(None, None, None)))
        run_responses(self.exchange)
        run_responses(self.exchange)
        self.assertEqual(self.calls, ["a>", "b>", "c>", "<c", "<b", "<a"])

    def test_no_filters(self) -> None:
        """No filters, nothing to do."""
        self.assertIsNone(self.run_([]))
        run_responses(self.exchange)
        self.assertEqual(self.calls, [])

    def test_two_chains(self) -> None:
        """A listener's filters and then a route's: responses go back through both."""
        first, *rest = self.filters(None, None)
        self.run_([first])
        self.run_(rest)
        run_responses(self.exchange)
        self.assertEqual(self.calls, ["a>", "b>", "<b", "<a"])

    def test_a_reply_ends_the_way_in(self) -> None:
        """Filters behind the one that answers see neither request nor response."""
        reply = Reply(403)
        self.assertIs(self.run_(self.filters(None, reply, None)), reply)
        run_responses(self.exchange)
        self.assertEqual(self.calls, ["a>", "b>", "<b", "<a"])

    def test_waiting(self) -> None:
        """A Deferred holds the rest back until it fires."""
        waiting: Deferred[Any] = Deferred()
        outcome = self.run_(self.filters(None, waiting, None))
        self.assertEqual(self.calls, ["a>", "b>"])
        waiting.callback(None)
        self.assertIsNone(self.successResultOf(outcome))
        self.assertEqual(self.calls, ["a>", "b>", "c>"])

    def test_waiting_twice(self) -> None:
        """Several filters may wait, and the last may answer."""
        one: Deferred[Any] = Deferred()
        two: Deferred[Any] = Deferred()
        outcome = self.run_(self.filters(one, None, two))
        one.callback(None)
        self.assertNoResult(outcome)
        two.callback(Reply(429))
        self.assertEqual(self.successResultOf(outcome).status, 429)

    def test_cancelled(self) -> None:
        """Cancelling reaches the filter, and counts as no failure of its."""
        cancelled: list[Any] = []
        outcome = self.run_(self.filters(Deferred(cancelled.append), None))
        outcome.cancel()
        self.failureResultOf(outcome, CancelledError)
        self.assertEqual((len(cancelled), self.faults.counts, self.calls), (1, {}, ["a>"]))

    def test_one_that_raises_denies(self) -> None:
        """A filter that raises ends the exchange with 500; its response part does not run."""
        reply = self.run_(self.filters(None, ValueError("broken"), None))
        self.assertEqual((reply.status, reply.reason), (500, "proxy_internal_error"))
        run_responses(self.exchange)
        self.assertEqual(self.calls, ["a>", "b>", "<a"])
        self.assertEqual(self.faults.counts, {("Noting", "ValueError"): 1})

    def test_one_that_raises_is_skipped(self) -> None:
        """With ``on_error = "allow"`` it loses its own effect and nothing else."""
        filters = self.filters(None, ValueError("broken"), None)
        filters[1].on_error = "allow"
        self.assertIsNone(self.run_(filters))
        run_responses(self.exchange)
        self.assertEqual(self.calls, ["a>", "b>", "c>", "<c", "<a"])

    def test_one_that_fails_later(self) -> None:
        """A Deferred that fails is a filter that raises."""
        for on_error, status in (("allow", None), ("deny", 500)):
            waiting: Deferred[Any] = Deferred()
            filters = self.filters(waiting, None)
            filters[0].on_error = on_error
            self.exchange.ran.clear()
            outcome = self.run_(filters)
            waiting.errback(ValueError("broken"))
            self.assertEqual(getattr(self.successResultOf(outcome), "status", None), status)
            self.assertNotIn(filters[0], self.exchange.ran)
        self.assertEqual(self.faults.counts, {("Noting", "ValueError"): 2})

    def test_one_that_returns_nonsense(self) -> None:
        """What is neither a reply, nothing nor a Deferred is a failure."""
        self.assertEqual(self.run_(self.filters("yes")).status, 500)
        waiting: Deferred[Any] = Deferred()
        outcome = self.run_(self.filters(waiting))
        waiting.callback("yes")
        self.assertEqual(self.successResultOf(outcome).status, 500)
        self.assertEqual(self.faults.counts, {("Noting", "TypeError"): 2})

    def test_a_response_that_raises(self) -> None:
        """A response filter that must not be missed ends the exchange; those before it run on the error's answer."""
        filters = [Noting("a", self.calls), Noting("b", self.calls, response=ValueError("broken"))]
        self.run_(filters)
        error = self.assertRaises(ExchangeError, run_responses, self.exchange, self.faults)
        self.assertEqual(error.reason.status, 500)
        run_responses(self.exchange, self.faults)
        self.assertEqual(self.calls, ["a>", "b>", "<b", "<a"])

    def test_a_response_that_may_be_missed(self) -> None:
        """One that may be missed is skipped."""
        filters: list[Any] = [Noting("a", self.calls), Noting("b", self.calls, response=ValueError("broken"))]
        filters[1].on_error = "allow"
        self.run_(filters)
        run_responses(self.exchange, self.faults)
        self.assertEqual(self.calls, ["a>", "b>", "<b", "<a"])
        self.assertEqual(sum(self.faults.counts.values()), 1)

    def test_logged_now_and_then(self) -> None:
        """The first failure of a kind is logged, then the 10th and the 100th; all are counted."""
        filters = self.filters(ValueError("broken"))
        for _ in range(150):
            self.run_(filters)
        self.assertEqual([event["count"] for event in self.events], [1, 10, 100])
        self.assertEqual(self.faults.counts, {("Noting", "ValueError"): 150})
