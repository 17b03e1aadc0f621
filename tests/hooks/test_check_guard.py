"""Tests for :mod:`balancer.hooks.check_guard`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, execute, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from balancer import testing
from balancer.hooks.check_accounting import CheckAccount
from balancer.hooks.check_guard import GuardedCheck, NoThreadError
from balancer.hooks.interfaces import ICheck, ITap
from balancer.model.inspection.outcome import NOTHING, Outcome
from balancer.model.inspection.subject import Subject
from balancer.model.inspection.terms import CheckTerms, Phase
from balancer.model.verdict import Allow, Block, Finding, Redirect, Verdict

_FOUND = [Finding("r", 5, "said")]


@implementer(ITap)
class _Check:
    """Does what the test says."""

    def __init__(self, does: Any, terms: CheckTerms) -> None:
        self.does = does
        self.terms = terms

    def inspect(self, subject: Subject, phase: Phase) -> Any:
        if isinstance(self.does, BaseException):
            raise self.does
        return self.does() if callable(self.does) else self.does

    def piece(self, subject: Subject, phase: Phase, data: bytes) -> Any:
        return self.inspect(subject, phase)


class _Threads:
    """Runs calls when the test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[Deferred[Any], Callable[..., Any], tuple[Any, ...]]] = []
        self.full = False

    def run(self, call: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        if self.full:
            raise NoThreadError
        answer: Deferred[Any] = Deferred(lambda _: None)
        self.calls.append((answer, call, arguments))
        return answer

    def go(self) -> None:
        for answer, call, arguments in self.calls:
            if not answer.called:
                execute(call, *arguments).addBoth(lambda found, to=answer: to.called or to.callback(found))
        self.calls = []


class GuardTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.account = CheckAccount("package", "check", "name", 3, self.clock.seconds)
        self.threads = _Threads()
        self.subject = testing.subject()

    def guard(self, does: Any, *, deny: bool = False, **terms: Any) -> GuardedCheck:
        check = _Check(does, CheckTerms(**terms))
        return GuardedCheck(check, self.account, deny, lambda: self.clock, lambda: self.threads)

    def look(self, check: GuardedCheck, seconds: float = 0.05, **named: Any) -> Any:
        return check.look(self.subject, "request_head", seconds, **named)

    def trip(self) -> None:
        for _ in range(3):
            self.account.timed_out("x", "log")
        self.assertTrue(self.account.tripped)

    def slow(self, seconds: float, answer: Any = None) -> Callable[[], Any]:
        def call() -> Any:
            self.clock.advance(seconds)
            return answer

        return call


class InlineTests(GuardTestCase):
    def test_answers(self) -> None:
        """Findings, a Verdict or nothing."""
        verdict = Verdict(tuple(_FOUND), Block())
        for does, expected in (
            (None, NOTHING),
            ([], NOTHING),
            (Verdict(), NOTHING),
            (_FOUND, Outcome(Verdict(tuple(_FOUND)))),
            (verdict, Outcome(verdict)),
        ):
            self.assertEqual(self.look(self.guard(does)), expected)
        self.assertEqual((self.account.calls, self.account.hits, self.account.errors), (5, 2, 0))

    def test_nonsense(self) -> None:
        """What is not sound is refused, and the log says who, where and what."""
        late: Deferred[Any] = Deferred()
        nonsense: list[tuple[Any, str]] = [
            (5, "not int"),
            ("block", "not str"),
            ([5], "findings must be Findings, not int"),
            ([Finding("r", True, "m")], "must be an integer, not bool"),
            ([Finding("r", -1, "m")], "cannot be below 0"),
            ([Finding("", 1, "m")], "needs the id of its rule"),
            ([Finding("r", 1, b"m")], "must be strings"),  # type: ignore[arg-type]
            ([Finding("r", 1, "m", "bad")], "severity of a Finding is one of"),  # type: ignore[arg-type]
            (Verdict({Finding("r", 1, "m")}), "must be a tuple, not set"),  # type: ignore[arg-type]
            (Verdict((), "block"), "must be Block, Drop, Redirect, Allow or None"),  # type: ignore[arg-type]
            (Verdict((), Block(200)), "status of a Block"),
            (Verdict((), Redirect("/a\r\nX: y")), "leads to a URL"),
            (Verdict((), Redirect("/", 200)), "status of a Redirect"),
            (Verdict((), Allow("all")), "scope of an Allow"),  # type: ignore[arg-type]
            (Verdict((), Allow(checks="a")), "must be a tuple of names"),  # type: ignore[arg-type]
            (late, "answers at once, and not with a Deferred"),
            (KeyError("x"), "KeyError"),
            (SystemExit(1), "SystemExit"),
        ]
        for at, (does, words) in enumerate(nonsense):
            outcome = self.look(self.guard(does), in_place=True)
            self.assertEqual((outcome.failed, outcome.verdict), ("error", None), does)
            self.assertIn(words, outcome.words)
            self.assertEqual(self.account.errors, at + 1)
        self.assertIn("request_head: SystemExit", self.account.last_error)
        self.flushLoggedErrors()

    def test_numbers(self) -> None:
        """Rules have the numbers that the check has declared."""
        for rule, failed in (("10", ""), ("19", ""), ("20", "error"), ("x", "error")):
            outcome = self.look(self.guard([Finding(rule, 1, "m")], ids=range(10, 20)))
            self.assertEqual(outcome.failed, failed, rule)
        self.assertIn("the rule 'x' is not one of the check's, 10 to 19", self.account.last_error)
        self.flushLoggedErrors()

    def test_overrun(self) -> None:
        """An answer that took too long is used, and counts against the check."""
        check = self.guard(self.slow(0.01, _FOUND))
        for _ in range(3):
            self.assertIsNotNone(self.look(check).verdict)
        self.assertEqual((self.account.overruns, check.is_tripped), (3, True))

    def test_pieces(self) -> None:
        """A tap is shown pieces."""
        check = self.guard(_FOUND, phases=("request_body",), request_body="tap")
        self.assertEqual(check.piece(self.subject, "request_body", b"x").verdict, Verdict(tuple(_FOUND)))

    def test_deny(self) -> None:
        """Where the operator wants failures to deny, a check that would allow blocks."""
        check = self.guard(None, deny=True, on_timeout="detect")
        self.assertEqual((check.on_error, check.on_timeout), ("block", "detect"))

    def test_declarations(self) -> None:
        """Must be there."""
        check = _Check(None, CheckTerms())
        check.terms = "inline"  # type: ignore[assignment]
        arguments: Any = (self.account, False, lambda: None, lambda: None)
        self.assertRaises(TypeError, GuardedCheck, check, *arguments)
        plain = implementer(ICheck)(type("Plain", (), {}))()
        plain.terms = CheckTerms(("request_body",), request_body="tap")
        plain.inspect = lambda subject, phase: None
        self.assertRaises(TypeError, GuardedCheck, plain, *arguments)


class ThreadTests(GuardTestCase):
    def test_answer(self) -> None:
        """Comes from the thread; time is what it took there."""
        waiting = self.look(self.guard(self.slow(0.01, _FOUND), lane="thread"))
        self.assertNoResult(waiting)
        self.threads.go()
        self.assertEqual(self.successResultOf(waiting).verdict.score, 5)
        self.assertAlmostEqual(self.account.seconds, 0.01)

    def test_raises(self) -> None:
        """Whatever it raises there is caught."""
        for error in (KeyError("x"), SystemExit()):
            waiting = self.look(self.guard(error, lane="thread"))
            self.threads.go()
            self.assertEqual(self.successResultOf(waiting).failed, "error")
        self.flushLoggedErrors()

    def test_too_late(self) -> None:
        """It is given up after its budget, or what is left of the exchange's; its late answer is nobody's."""
        for budget, left, seconds in ((0.02, 1.0, 0.02), (1.0, 0.03, 0.03)):
            waiting = self.look(self.guard(_FOUND, lane="thread", budget=budget), left)
            self.clock.advance(seconds)
            outcome = self.successResultOf(waiting)
            self.assertEqual((outcome.failed, outcome.words), ("timeout", f"no answer within {seconds * 1000:.0f} ms"))
            self.threads.go()
        self.assertEqual(self.account.timeouts, 2)

    def test_no_thread(self) -> None:
        """Where no thread is free, or none was in time, that is a time-out that the check is not to blame for."""
        self.threads.full = True
        check = self.guard(None, lane="thread")
        for _ in range(3):
            self.assertEqual(self.look(check).failed, "timeout")
        self.threads.full = False
        for _ in range(3):
            waiting = self.look(check)
            self.clock.advance(0.05)
            self.assertEqual(self.successResultOf(waiting).failed, "timeout")
        for _, call, arguments in self.threads.calls:  # what was given up does not begin any more
            self.assertEqual(call(*arguments), (None, 0.0))
        self.assertEqual((self.account.timeouts, check.is_tripped), (6, False))
        self.assertIn("as the threads were busy", self.account.last_error)

    def test_blame(self) -> None:
        """A check that is at work when its time is over is to blame."""
        check = self.guard(self.slow(0.1), lane="thread")
        for _ in range(3):
            waiting = self.look(check)
            self.threads.go()
            self.assertEqual(self.successResultOf(waiting).failed, "timeout")
        self.assertTrue(check.is_tripped)

    def test_in_place(self) -> None:
        """For ``explain`` it is called at once."""
        self.assertEqual(self.look(self.guard(_FOUND, lane="thread"), in_place=True).verdict.score, 5)

    def test_client_goes(self) -> None:
        """A cancelled call is nobody's fault."""
        waiting = self.look(self.guard(None, lane="thread"))
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        self.assertEqual((self.account.errors, self.account.timeouts), (0, 0))


class RemoteTests(GuardTestCase):
    def test_answers(self) -> None:
        """A Deferred of them, or at once."""
        for does in (_FOUND, lambda: succeed(_FOUND)):
            outcome = self.look(self.guard(does, lane="remote"))
            outcome = self.successResultOf(outcome) if isinstance(outcome, Deferred) else outcome
            self.assertEqual(outcome.verdict.score, 5)

    def test_fails(self) -> None:
        """What it fails with counts."""
        for does in (lambda: fail(KeyError("x")), lambda: succeed("junk"), KeyError("y")):
            outcome = self.look(self.guard(does, lane="remote"))
            outcome = self.successResultOf(outcome) if isinstance(outcome, Deferred) else outcome
            self.assertEqual(outcome.failed, "error")
        self.flushLoggedErrors()

    def test_too_late(self) -> None:
        """It is cancelled."""
        cancelled: list[object] = []
        waiting: Deferred[Any] = Deferred(cancelled.append)
        outcome = self.look(self.guard(lambda: waiting, lane="remote", budget=0.04))
        self.clock.advance(0.04)
        self.assertEqual(self.successResultOf(outcome).failed, "timeout")
        self.assertEqual(len(cancelled), 1)


class BreakerTests(GuardTestCase):
    def test_inline_goes_to_a_thread(self) -> None:
        """The reactor waits no more for a check that was too slow; one call at a time goes on, and what it finds does not count."""
        self.trip()
        check = self.guard(self.slow(0.5, _FOUND))
        waiting = self.look(check)
        self.assertEqual(self.look(check), NOTHING)
        self.threads.go()
        outcome = self.successResultOf(waiting)
        self.assertTrue(outcome.beside)
        self.assertEqual((self.account.skipped, self.account.busy), (1, False))

    def test_taps(self) -> None:
        """Go on in detect."""
        self.trip()
        check = self.guard(_FOUND, phases=("request_body",), request_body="tap")
        self.assertTrue(check.piece(self.subject, "request_body", b"x").beside)
