"""Tests for :mod:`balancer.filters.waf.arbiter`."""

from __future__ import annotations

from itertools import permutations
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer.filters.waf.arbiter import Arbiter, CheckRules, Policy, Ruling
from balancer.model.inspection.outcome import Outcome
from balancer.model.inspection.terms import Phase
from balancer.model.verdict import Allow, Block, Demand, Drop, Finding, Redirect, Verdict


def found(score: int = 0, demand: Demand | None = None, rule: str = "r") -> Outcome:
    """Return the outcome of a check that found something."""
    return Outcome(Verdict((Finding(rule, score, "said"),) if score else (), demand))


class ArbiterTestCase(SynchronousTestCase):
    def decide(
        self, *outcomes: tuple[int, Phase, Outcome], phase: Phase = "request_head", over: bool = True, **policy: Any
    ) -> Ruling:
        checks = policy.pop("checks", [CheckRules(name) for name in "abc"])
        arbiter = Arbiter(Policy(checks, **policy))
        for at, when, outcome in outcomes:
            arbiter.take(at, when, outcome)
        return arbiter.decide(phase, over=over)


class ScoreTests(ArbiterTestCase):
    def test_sums(self) -> None:
        """Scores of all checks add up; from the threshold on the exchange is refused."""
        below = self.decide((0, "request_head", found(2)), (1, "request_head", found(2)))
        self.assertEqual((below.does, below.would, below.inbound, below.action), ("pass", "pass", 4, "passed"))
        reached = self.decide((0, "request_head", found(2)), (1, "request_head", found(3)), status=406)
        self.assertEqual((reached.does, reached.status, reached.because), ("block", 406, "score 5 of 5"))
        self.assertEqual(reached.action, "blocked")

    def test_nothing(self) -> None:
        """Where nothing was found there is nothing to say."""
        self.assertTrue(self.decide().is_empty)
        self.assertFalse(self.decide((0, "request_head", found(1))).is_empty)

    def test_when_scores_count(self) -> None:
        """Once the request has been looked at as a whole; after each phase with ``early``."""
        outcome = (0, "request_head", found(9))
        self.assertEqual(self.decide(outcome, over=False).does, "pass")
        self.assertEqual(self.decide(outcome, over=False, early=True).does, "block")
        self.assertEqual(self.decide(outcome, phase="request_body").does, "block")

    def test_out(self) -> None:
        """The response has a sum and a threshold of its own."""
        ruling = self.decide(
            (0, "request_head", found(4)), (0, "response_body", found(4)), phase="response_body", outbound=4
        )
        self.assertEqual((ruling.inbound, ruling.outbound, ruling.does), (4, 4, "block"))
        self.assertEqual(ruling.because, "score 4 of 4 in the response")
        self.assertEqual(self.decide((0, "response_head", found(9)), phase="request_body").does, "pass")

    def test_log(self) -> None:
        """What is found in the phase ``log`` has no score, and it is too late for anything."""
        ruling = self.decide((0, "request_head", found(5)), (1, "log", found(9)), phase="log")
        self.assertEqual((ruling.does, ruling.would, ruling.inbound, ruling.outbound), ("pass", "block", 5, 0))
        self.assertEqual(len(ruling.findings), 2)


class ModeTests(ArbiterTestCase):
    def test_detect(self) -> None:
        """Everything is found, summed and said; nothing is done."""
        ruling = self.decide((0, "request_head", found(9, Drop())), mode="detect")
        self.assertEqual((ruling.does, ruling.would, ruling.inbound), ("pass", "drop", 9))
        self.assertEqual(ruling.action, "detected")

    def test_a_check_in_detect(self) -> None:
        """What it finds is written down, and does not count; the same of one whose breaker is open."""
        checks = [CheckRules("a", "detect"), CheckRules("b")]
        ruling = self.decide((0, "request_head", found(9, Block())), (1, "request_head", found(1)), checks=checks)
        self.assertEqual((ruling.does, ruling.inbound), ("pass", 1))
        self.assertEqual([noted.counts for noted in ruling.findings], [False, True])
        beside = found(9, Block())._replace(beside=True)
        self.assertEqual(self.decide((0, "request_head", beside)).does, "pass")


class DemandTests(ArbiterTestCase):
    def test_demands(self) -> None:
        """Each does what it says, whatever the score."""
        demands: list[tuple[Demand, tuple[str, int, str]]] = [
            (Block(), ("block", 403, "")),
            (Block(451), ("block", 451, "")),
            (Drop(), ("drop", 403, "")),
            (Redirect("/login", 303), ("redirect", 303, "/login")),
        ]
        for demand, expected in demands:
            ruling = self.decide((0, "request_head", found(0, demand)), over=False)
            self.assertEqual((ruling.does, ruling.status, ruling.to), expected)
            self.assertEqual(ruling.because, "a demands it")

    def test_the_first_counts(self) -> None:
        """In the order of phases, then of checks."""
        ruling = self.decide(
            (1, "request_head", found(0, Drop())), (0, "request_head", found(0, Block(410))), phase="request_body"
        )
        self.assertEqual((ruling.does, ruling.status), ("block", 410))

    def test_order_does_not_matter(self) -> None:
        """Whatever the order in which outcomes come, the ruling is the same."""
        outcomes = [
            (0, "request_head", found(2, rule="0h")),
            (1, "request_head", found(1, Allow("phase", ("c",)), rule="1h")),
            (2, "request_head", found(3, Block(), rule="2h")),
            (0, "request_body", found(2, rule="0b")),
            (2, "request_body", found(1, Redirect("/x"), rule="2b")),
        ]
        rulings = {
            self.decide(*order, phase="request_body")  # type: ignore[arg-type]
            for order in permutations(outcomes)
        }
        self.assertEqual(len(rulings), 1)
        (ruling,) = rulings
        self.assertEqual((ruling.does, ruling.because, ruling.inbound), ("redirect", "c demands it", 6))
        self.assertEqual([noted.finding.rule for noted in ruling.findings], ["0h", "1h", "2h", "0b", "2b"])


class AllowTests(ArbiterTestCase):
    def test_scopes(self) -> None:
        """An Allow covers what stands behind it, as far as it says."""
        phases: tuple[Phase, ...] = ("request_head", "request_body", "response_head", "response_body")
        for scope, covered in (
            ("phase", phases[:1]),
            ("request", phases[:2]),
            ("response", phases[2:]),
            ("exchange", phases),
        ):
            allow = (0, "request_head", found(0, Allow(scope)))  # type: ignore[arg-type]
            for phase in phases:
                ruling = self.decide(allow, (1, phase, found(9, Block())), phase=phase)  # type: ignore[arg-type]
                self.assertEqual(ruling.does, "pass" if phase in covered else "block", (scope, phase))
                self.assertEqual(len(ruling.findings), 1)

    def test_what_stood_before(self) -> None:
        """Is not covered."""
        ruling = self.decide((0, "request_head", found(9)), (1, "request_head", found(0, Allow("exchange"))))
        self.assertEqual(ruling.does, "block")

    def test_single_checks(self) -> None:
        """An Allow may be for some checks only."""
        allow = (0, "request_head", found(0, Allow("request", ("b",))))
        self.assertEqual(self.decide(allow, (1, "request_head", found(9))).does, "pass")
        self.assertEqual(self.decide(allow, (2, "request_head", found(9))).does, "block")

    def test_in_detect(self) -> None:
        """A check in detect allows nothing."""
        checks = [CheckRules("a", "detect"), CheckRules("b")]
        allow = (0, "request_head", found(0, Allow("exchange")))
        self.assertEqual(self.decide(allow, (1, "request_head", found(9)), checks=checks).does, "block")


class FailureTests(ArbiterTestCase):
    def test_what_failures_mean(self) -> None:
        """As the check declares: nothing, a word in the log, or a refusal."""
        for means, does, noted in (("allow", "pass", 0), ("detect", "pass", 1), ("block", "block", 1)):
            for kind in ("error", "timeout"):
                rules = CheckRules("a", "block", **{f"on_{kind}": means})  # type: ignore[arg-type]
                ruling = self.decide(
                    (0, "request_head", Outcome(None, kind, "why")),  # type: ignore[arg-type]
                    checks=[rules],
                    over=False,
                )
                self.assertEqual((ruling.does, len(ruling.failures)), (does, noted), (means, kind))

    def test_in_detect(self) -> None:
        """The failure of a check that is in detect refuses nothing."""
        checks = [CheckRules("a", "detect", "block", "block")]
        self.assertEqual(self.decide((0, "request_head", Outcome(None, "error", "x")), checks=checks).does, "pass")
