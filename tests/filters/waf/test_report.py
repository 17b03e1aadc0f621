"""Tests for :mod:`balancer.filters.waf.report`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.filters.waf.arbiter import Arbiter, CheckRules, Policy, Ruling
from balancer.filters.waf.report import as_note, in_words, merged
from balancer.model.inspection.outcome import Outcome
from balancer.model.verdict import Finding, Verdict


def ruling(*findings: Finding, failed: str = "") -> Ruling:
    arbiter = Arbiter(Policy([CheckRules("c", on_error="detect")]))
    arbiter.take(0, "request_head", Outcome(Verdict(findings)))
    if failed:
        arbiter.take(0, "request_head", Outcome(None, "error", failed))
    return arbiter.decide("request_head")


class NoteTests(SynchronousTestCase):
    def test_secrets(self) -> None:
        """What cookies and credentials say is nobody's business."""
        for target, snippet in (
            ("cookie:session", ""),
            ("Header:Authorization", ""),
            ("header:cookie", ""),
            ("query:cookie", "s3cret"),
        ):
            note = as_note(ruling(Finding("r", 1, "m", target=target, snippet="s3cret")), 0)
            self.assertEqual(note["findings"][0]["snippet"], snippet, target)

    def test_limits(self) -> None:
        """So many findings, each with so much of what matched."""
        note = as_note(ruling(*[Finding(str(at), 0, "m", snippet="x" * 500) for at in range(150)]), 0)
        self.assertEqual((len(note["findings"]), note["more"]), (100, 50))
        self.assertEqual(len(note["findings"][0]["snippet"]), 100)

    def test_merged(self) -> None:
        """Two filters say one thing."""
        first = as_note(ruling(Finding("a", 2, "m"), failed="why"), 0.001)
        second = as_note(ruling(Finding("b", 5, "m")), 0.002)
        self.assertIs(merged(None, first), first)
        for both in (merged(first, second), merged(second, first)):
            self.assertEqual((both["action"], both["score"], both["because"]), ("blocked", 7, "score 5 of 5"))
            self.assertEqual((both["ms"], len(both["findings"]), len(both["failures"])), (3.0, 2, 1))

    def test_words(self) -> None:
        """The decision, and why."""
        self.assertEqual(in_words(ruling(), 5, 4, 0.0012), "nothing found (1.2 ms)")
        self.assertEqual(
            in_words(ruling(Finding("a", 2, "m", target="query:q"), failed="why"), 5, 4, 0),
            "passed, score 2 of 5 (a 2 query:q; c failed in request_head: why; 0.0 ms)",
        )
