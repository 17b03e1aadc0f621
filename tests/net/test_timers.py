"""The shared timer: never early, little late, cheap to touch."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from balancer.net.timers import Wheel


class WheelTests(SynchronousTestCase):
    """What a user of the wheel relies on."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.wheel = Wheel(self.clock, tick=0.1)
        self.fired: list[str] = []

    def schedule(self, seconds: float, name: str = "call") -> object:
        return self.wheel.schedule(seconds, lambda: self.fired.append(name))

    def run_for(self, seconds: float) -> None:
        self.clock.pump([0.05] * round(seconds / 0.05))

    def test_fires_once_after_its_time(self) -> None:
        """A call comes when its seconds are over, and not again."""
        self.schedule(1.0)
        self.run_for(0.95)
        self.assertEqual(self.fired, [])
        self.run_for(0.3)
        self.assertEqual(self.fired, ["call"])
        self.run_for(5)
        self.assertEqual(self.fired, ["call"])

    def test_touch_starts_again(self) -> None:
        """Touching an entry makes its full span begin anew."""
        entry = self.wheel.schedule(1.0, lambda: self.fired.append("idle"))
        for _ in range(10):
            self.run_for(0.8)
            entry.touch()
        self.assertEqual(self.fired, [])
        self.run_for(1.3)
        self.assertEqual(self.fired, ["idle"])

    def test_reset_shortens_and_lengthens(self) -> None:
        """Reset sets the time anew, sooner or later than before."""
        entry = self.wheel.schedule(10.0, lambda: self.fired.append("x"))
        entry.reset(0.5)
        self.run_for(0.8)
        self.assertEqual(self.fired, ["x"])
        entry.reset(0.5)
        entry.reset(2.0)
        self.run_for(1.5)
        self.assertEqual(self.fired, ["x"])
        self.run_for(1.0)
        self.assertEqual(self.fired, ["x", "x"])

    def test_cancelled_leaves_nothing_behind(self) -> None:
        """A cancelled entry never fires and is not kept until its time."""
        entries = [self.wheel.schedule(600.0, lambda: self.fired.append("x")) for _ in range(100)]
        for entry in entries:
            entry.cancel()
            entry.cancel()
        self.assertEqual(len(self.wheel), 0)
        self.assertFalse(entries[0].active)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_costs_nothing_while_empty(self) -> None:
        """Without entries no call is scheduled with the clock; with a thousand there is one."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for _ in range(1000):
            self.schedule(3.0)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(4.0)
        self.assertEqual(len(self.fired), 1000)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_calls_may_touch_the_wheel(self) -> None:
        """A call may cancel or reset another that is due in the same tick, and schedule itself again."""
        second = third = None

        def first() -> None:
            self.fired.append("first")
            second.cancel()
            third.reset(1.0)
            self.schedule(0.5, "again")

        self.wheel.schedule(0.5, first)
        second = self.wheel.schedule(0.5, lambda: self.fired.append("second"))
        third = self.wheel.schedule(0.5, lambda: self.fired.append("third"))
        self.clock.advance(0.8)
        self.assertEqual(self.fired, ["first"])
        self.run_for(0.9)
        self.assertEqual(self.fired, ["first", "again"])
        self.run_for(0.5)
        self.assertEqual(self.fired, ["first", "again", "third"])

    def test_a_failing_call_harms_nobody_else(self) -> None:
        """An exception in one call is logged, the others still come."""
        self.wheel.schedule(0.5, lambda: 1 / 0)
        self.schedule(0.5)
        self.clock.advance(1)
        self.assertEqual(self.fired, ["call"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_after_a_long_gap(self) -> None:
        """A clock that jumps an hour ahead fires what was due, and what comes then is measured from there."""
        self.schedule(1.0, "old")
        self.clock.advance(3600)
        self.assertEqual(self.fired, ["old"])
        self.schedule(1.0, "new")
        self.run_for(0.9)
        self.assertEqual(self.fired, ["old"])
        self.run_for(0.4)
        self.assertEqual(self.fired, ["old", "new"])

    def test_repr_says_what_is_left(self) -> None:
        """An operator sees how long an entry has to go."""
        entry = self.wheel.schedule(2.0, lambda: None)
        self.assertEqual(repr(entry), "<Entry in 2.1 s>")
        entry.cancel()
        self.assertEqual(repr(entry), "<Entry idle>")

    def test_ended_for_good(self) -> None:
        """An entry that was ended never calls, even if it is reset, and holds nothing alive."""
        entry = self.wheel.schedule(1.0, lambda: self.fired.append("ended"))
        entry.end()
        self.assertFalse(entry.active)
        entry.reset(0.5)
        self.clock.advance(5)
        self.assertEqual(self.fired, [])

    @settings(deadline=None, max_examples=30)
    @given(
        spans=st.lists(st.floats(0, 30), min_size=1, max_size=20),
        steps=st.lists(st.floats(0.01, 0.5), min_size=1, max_size=50),
    )
    def test_never_early_and_two_ticks_late_at_most(self, spans: list[float], steps: list[float]) -> None:
        """Whatever the spans and the rhythm of the clock, each call comes in its time."""
        clock = Clock()
        wheel = Wheel(clock, tick=0.1)
        late: list[float] = []
        for span in spans:
            due = clock.seconds() + span
            wheel.schedule(span, lambda due=due: late.append(clock.seconds() - due))
            clock.advance(steps[0])
        for step in itertools.cycle(steps):
            if clock.seconds() > 45:
                break
            clock.advance(step)
        self.assertEqual(len(late), len(spans))
        self.assertGreaterEqual(min(late), -1e-6)
        self.assertLessEqual(max(late), 2 * 0.1 + 0.1 / 20 + max(steps) + 1e-6)
