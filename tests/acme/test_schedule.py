"""Tests for :mod:`balancer.acme.schedule`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer.acme.schedule import (
    FIRST_WAIT,
    LONGEST_WAIT,
    RATE_LIMITED,
    SPACING,
    Attempts,
    Term,
    Window,
    renewal,
    retry_after,
)

DAY = 86400.0
NOW = 1_700_000_000.0


class RenewalTests(SynchronousTestCase):
    """When a certificate is renewed."""

    @given(st.floats(60, 400 * DAY), st.floats(1, 400 * DAY), st.text(max_size=20))
    def test_within_its_life(self, lifetime: float, before: float, fingerprint: str) -> None:
        """Neither before two thirds of its life are nearly over, nor later than was asked for."""
        due = renewal(Term(NOW, NOW + lifetime, fingerprint), before)
        span = min(before, lifetime / 3)
        self.assertLessEqual(due, NOW + lifetime - span + 0.001)
        self.assertGreaterEqual(due, NOW + lifetime - 1.1 * span - 0.001)

    def test_spread(self) -> None:
        """Certificates of one day are not renewed at one moment; each always at its own."""
        dues = [renewal(Term(NOW, NOW + 90 * DAY, str(number)), 30 * DAY) for number in range(50)]
        self.assertEqual(len(set(dues)), 50)
        self.assertGreater(max(dues) - min(dues), DAY)
        self.assertEqual(dues, [renewal(Term(NOW, NOW + 90 * DAY, str(number)), 30 * DAY) for number in range(50)])

    def test_window(self) -> None:
        """Within the window that the authority suggests, each at its own moment; never in the last tenth of its life."""
        terms = [Term(NOW, NOW + 90 * DAY, str(number)) for number in range(50)]
        dues = [renewal(each, 30 * DAY, Window(each.fingerprint, NOW + 10 * DAY, NOW + 12 * DAY)) for each in terms]
        self.assertTrue(all(NOW + 10 * DAY <= due <= NOW + 12 * DAY for due in dues))
        self.assertGreater(max(dues) - min(dues), DAY)
        late = [renewal(each, 30 * DAY, Window(each.fingerprint, NOW + 88 * DAY, NOW + 99 * DAY)) for each in terms]
        self.assertEqual(set(late), {NOW + 81 * DAY})

    def test_no_window(self) -> None:
        """Another certificate's window does not count, nor does one that is none."""
        term = Term(NOW, NOW + 90 * DAY, "a")
        usual = renewal(term, 30 * DAY)
        for window in (None, Window("b", NOW, NOW + 1), Window("a", again=NOW)):
            self.assertEqual(renewal(term, 30 * DAY, window), usual)

    def test_short_lived(self) -> None:
        """One for six days is renewed after four, whatever ``renew_before`` says."""
        due = renewal(Term(NOW, NOW + 6 * DAY, "a"), 30 * DAY)
        self.assertTrue(NOW + 3.8 * DAY <= due <= NOW + 4 * DAY)


class RetryAfterTests(SynchronousTestCase):
    """How long an authority asks us to wait."""

    def test_read(self) -> None:
        """In seconds, or until a moment; a day at most; what is none of both is as if it were not there."""
        for text, expected in [
            ("120", 120.0),
            (" 7 ", 7.0),
            ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
            ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
            ("Tue, 14 Nov 2033 22:00:00 GMT", DAY),
            ("99999999999999999", DAY),
            ("", 5.0),
            ("-3", 5.0),
            ("soon", 5.0),
            ("٣", 5.0),
        ]:
            self.assertEqual(retry_after(text, 5.0, NOW), expected, text)


class AttemptsTests(SynchronousTestCase):
    """When something that failed is tried again."""

    def test_waits_grow(self) -> None:
        """Two minutes, then three times as long after each failure, up to half a day."""
        attempts, now, waits = Attempts(), NOW, []
        for _ in range(9):
            attempts = attempts.failed(now, 0.0, "no")
            waits.append(attempts.pause - now)
            self.assertTrue(attempts.waits(attempts.pause - 1))
            now = attempts.pause
            self.assertFalse(attempts.waits(now))
        self.assertEqual(waits[:4], [FIRST_WAIT, 360, 1080, 3240])
        self.assertEqual(waits[-1], LONGEST_WAIT)
        self.assertEqual((attempts.failures, attempts.total, attempts.error), (9, 9, "no"))

    def test_few_in_an_hour(self) -> None:
        """Less than five failures in an hour, which is what Let's Encrypt allows."""
        attempts, now, count = Attempts(), 0.0, 0
        while now < 3600:
            attempts = attempts.failed(now, 0.0, "no")
            now, count = attempts.pause, count + 1
        self.assertLess(count, 5)

    def test_jitter(self) -> None:
        """What failed together is not tried again together."""
        self.assertGreater(Attempts().failed(NOW, 0.9, "").pause, Attempts().failed(NOW, 0.1, "").pause + 5)

    def test_asked_too_often(self) -> None:
        """Where the authority says how long, at least so long."""
        self.assertEqual(Attempts().failed(NOW, 0.0, "no", RATE_LIMITED).pause, NOW + RATE_LIMITED)

    def test_done(self) -> None:
        """After a success nothing is left of the failures but their number; the next is an hour away, if the certificate lasts."""
        after = Attempts().failed(NOW, 0.0, "no").done(NOW + 5, Term(NOW, NOW + 90 * DAY, ""))
        self.assertEqual(after, Attempts(total=1, pause=NOW + 5 + SPACING, succeeded=NOW + 5))
        self.assertEqual(Attempts().done(NOW, Term(NOW - 60, NOW + 60, "")).pause, NOW + 30)
        self.assertEqual(Attempts().done(NOW, Term(NOW - 60, NOW - 1, "")).pause, NOW)

    def test_clock(self) -> None:
        """A clock that was a year ahead does not make anybody wait a year."""
        self.assertFalse(Attempts(pause=NOW + 365 * DAY).waits(NOW))
