"""Tests for :mod:`balancer.hooks.accounting`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from balancer.hooks.accounting import BUDGET, COOL_DOWN, Account, in_words


class _Silent(Exception):
    def __str__(self) -> str:
        raise KeyError("x")


class AccountTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.account = Account("package", "filter", "name", 3, self.clock.seconds)
        self.lines: list[tuple[LogLevel, str]] = []

        def note(event: dict[str, object]) -> None:
            if "account" in event:
                self.lines.append((event["log_level"], str(event["log_format"])))  # type: ignore[arg-type]

        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)

    def fail(self, times: int = 1, error: type[BaseException] = KeyError) -> None:  # type: ignore[override]
        for _ in range(times):
            with self.account.call():
                raise error("x")

    def succeed(self, seconds: float = 0.0) -> None:
        with self.account.call() as call:
            self.clock.advance(seconds)
        self.assertFalse(call.failed)

    def tearDown(self) -> None:
        self.flushLoggedErrors()

    def test_counts(self) -> None:
        """Calls, errors and seconds add up; a call that raises is over."""
        self.succeed(0.01)
        with self.account.call() as call:
            self.clock.advance(0.02)
            raise KeyError("x")
        self.assertTrue(call.failed)
        report = self.account.report()
        self.assertEqual((report["calls"], report["errors"], report["overruns"]), (2, 1, 0))
        self.assertEqual((report["seconds"], report["last_error"]), (0.03, "KeyError: 'x'"))

    def test_everything_is_kept_in(self) -> None:
        """Even sys.exit() in a plug-in ends no more than the call; Ctrl-C is not the plug-in's."""
        self.fail(1, SystemExit)
        self.fail(1, GeneratorExit)
        self.assertRaises(KeyboardInterrupt, self.fail, 1, KeyboardInterrupt)
        self.assertEqual(self.account.errors, 2)

    def test_trips(self) -> None:
        """It trips at so many failures in a row, not before, and a call that goes well starts anew."""
        for _ in range(3):
            self.fail(2)
            self.succeed()
        self.assertFalse(self.account.tripped)
        self.fail(3)
        self.assertTrue(self.account.tripped)
        self.assertFalse(self.account.admits())
        self.assertEqual(self.account.skipped, 1)

    def test_overruns(self) -> None:
        """A call past its budget counts like a failure towards tripping, and is no error."""
        for _ in range(3):
            self.succeed(BUDGET * 1.1)
        self.assertEqual((self.account.overruns, self.account.errors, self.account.tripped), (3, 0, True))

    def test_one_call_tries(self) -> None:
        """After the cool-down one call is let through: when it fails all wait again, when it goes well it is on again."""
        self.fail(3)
        self.clock.advance(COOL_DOWN)
        self.assertEqual([self.account.admits() for _ in range(3)], [True, False, False])
        self.fail()
        self.assertTrue(self.account.tripped)
        self.clock.advance(COOL_DOWN)
        self.assertTrue(self.account.admits())
        self.succeed()
        self.assertEqual([self.account.admits() for _ in range(3)], [True, True, True])
        self.fail(2)
        self.assertFalse(self.account.tripped)

    def test_answers_that_come_later(self) -> None:
        """A call whose answer comes later has not gone well before that."""
        for _ in range(3):
            with self.account.call() as call:
                call.suspend()
            self.account.failed(TimeoutError("late"))
        self.assertEqual((self.account.calls, self.account.errors, self.account.tripped), (3, 3, True))
        with self.account.more():
            pass
        self.assertEqual((self.account.calls, self.account.tripped), (3, False))

    def test_log(self) -> None:
        """The first failure of a kind is logged, then every tenth power; tripping and recovery once."""
        account = self.account = Account("package", "filter", "name", 150, self.clock.seconds)
        self.fail(120)
        self.fail(1, ValueError)
        self.assertEqual(len(self.lines), 4)
        self.fail(100)
        self.assertTrue(account.tripped)
        self.assertEqual(len(self.lines), 5)
        self.assertIn("switched off", self.lines[-1][1])
        self.fail(1000)
        self.succeed()
        self.assertEqual(len(self.lines), 6)
        self.assertIn("works again", self.lines[-1][1])

    def test_words(self) -> None:
        """Errors fit one line of bounded length, even those that cannot say what they are."""
        self.assertEqual(in_words(ValueError("a\n  b")), "ValueError: a b")
        self.assertEqual(in_words(KeyError()), "KeyError")
        self.assertLess(len(in_words(ValueError("x" * 10_000))), 400)
        self.assertTrue(in_words(_Silent()).startswith("_Silent: "))

    def test_repr(self) -> None:
        """It tells whose it is and whether it is on."""
        self.assertEqual(repr(self.account), "<Account package (filter name) calls=0 errors=0 closed>")
