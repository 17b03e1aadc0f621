"""Tests for :mod:`balancer.filters.waf`."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from balancer import testing
from balancer.hooks import hookimpl
from balancer.hooks.interfaces import Factory, ICheck
from balancer.hooks.plugged import plugged_settings
from balancer.model.exchange import Exchange, Reply
from balancer.model.verdict import Finding, Verdict


@implementer(ICheck)
class _Check:
    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.asked = 0

    def inspect(self, exchange: Exchange) -> Any:
        self.asked += 1
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def _found(score: int, *, block: bool = False, rule: str = "r") -> Verdict:
    return Verdict((Finding(rule, score, "said", snippet="x" * 300),), block)


class WafTests(SynchronousTestCase):
    def waf(self, *answers: Any, **settings: Any) -> Any:
        """Return a waf filter with a check for each of ``answers``."""
        self.checks = [_Check(answer) for answer in answers]
        module = ModuleType("checks")
        offered = [Factory(f"c{at}", lambda _, check=check: check) for at, check in enumerate(self.checks)]
        module.balancer_checks = hookimpl(lambda: offered)  # type: ignore[attr-defined]
        found = testing.registry(module)
        plugged = {"waf": {"checks": [each.name for each in offered], **settings}}
        (waf,) = plugged_settings(plugged, found.factories("filters"), {"registry": found})
        return found.build("filters", "waf", waf.settings)

    def test_nothing_found(self) -> None:
        exchange = testing.exchange("/")
        self.assertIsNone(self.waf(None, Verdict()).request(exchange))
        self.assertNotIn("log", exchange.notes)

    def test_the_threshold(self) -> None:
        """Scores add up; from the threshold on a request is refused, and what was found is in the log."""
        exchange = testing.exchange("/")
        self.assertIsNone(self.waf(_found(2), _found(2)).request(exchange))
        self.assertEqual(exchange.notes["log"]["waf"]["action"], "passed")
        waf = self.waf(_found(2), _found(3), _found(1), status=406)
        reply = waf.request(testing.exchange("/"))
        self.assertIsInstance(reply, Reply)
        self.assertEqual((reply.status, reply.reason), (406, "http_request_denied"))
        self.assertEqual([check.asked for check in self.checks], [1, 1, 0])

    def test_a_demand(self) -> None:
        """A verdict may demand a refusal whatever its score."""
        self.assertEqual(self.waf(_found(0, block=True)).request(testing.exchange("/")).status, 403)
        self.assertEqual(self.waf(Verdict(block=True)).request(testing.exchange("/")).status, 403)

    def test_detect(self) -> None:
        """In mode detect all checks run and nothing is refused."""
        exchange = testing.exchange("/")
        waf = self.waf(_found(9, rule="a"), _found(9, block=True, rule="b"), mode="detect")
        self.assertIsNone(waf.request(exchange))
        logged = exchange.notes["log"]["waf"]
        self.assertEqual((logged["action"], logged["score"]), ("detected", 18))
        self.assertEqual([finding["rule"] for finding in logged["findings"]], ["a", "b"])
        self.assertEqual(len(logged["findings"][0]["snippet"]), 100)
        self.assertEqual(waf.describe(exchange), "c0, c1: detected, score 18 of 5 (a, b)")

    def test_checks_that_take_time(self) -> None:
        """A Deferred verdict is waited for; later checks run after it, and only if it did not decide."""
        for verdict, status, asked in ((_found(1), None, 1), (_found(5), 403, 0)):
            waiting: Deferred[Any] = Deferred()
            waf = self.waf(None, waiting, None)
            outcome = waf.request(testing.exchange("/"))
            self.assertNoResult(outcome)
            self.assertEqual(self.checks[2].asked, 0)
            waiting.callback(verdict)
            reply = self.successResultOf(outcome)
            self.assertEqual((reply.status if reply else None, self.checks[2].asked), (status, asked))

    def test_a_check_that_fails(self) -> None:
        """What raises is counted and loses its own effect only; the other checks run."""
        waf = self.waf(RuntimeError("broken"), _found(5))
        self.assertEqual(waf.request(testing.exchange("/")).status, 403)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_the_body(self) -> None:
        """The limit of bodies is what the channel collects."""
        self.assertEqual(self.waf(None, body_limit="1KiB").body_limit, 1024)
