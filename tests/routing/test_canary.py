"""Tests of canaries: what is decided, by what has been counted, and when."""

from __future__ import annotations

from math import inf

from twisted.trial import unittest

from balancer.routing.canary import NOTHING, STATES, Canary, CanaryPlan, Tally

_PLAN = CanaryPlan("new", (1.0, 10.0, 100.0), 60.0, 100, 0.02, ((0.95, 0.5),), 0.01, ((0.95, 1.5),))


def tally(requests: int, errors: int = 0, slow: int = 0) -> Tally:
    """So many exchanges, ``slow`` of them in up to a second, the rest in up to 100 ms."""
    quick = requests - slow
    return Tally(requests, errors, {0.1: quick, 0.5: quick, 1.0: requests, inf: requests})


class TallyTests(unittest.TestCase):
    """Counts."""

    def test_differences(self) -> None:
        """What was counted since."""
        found = tally(30, 2, 5) - tally(10, 1, 5)
        self.assertEqual((found.requests, found.errors, found.within[0.1]), (20, 1, 20))
        self.assertEqual(tally(30) - NOTHING, tally(30))
        self.assertEqual(tally(1) + tally(2), tally(3))

    def test_quantiles(self) -> None:
        """Between two bounds in proportion; beyond the last, the last."""
        self.assertEqual(NOTHING.quantile(0.95), 0.0)
        self.assertAlmostEqual(tally(100).quantile(0.5), 0.05)
        self.assertAlmostEqual(tally(100, 0, 10).quantile(0.95), 0.75)
        self.assertEqual(Tally(2, 0, {0.1: 1, inf: 2}).quantile(0.99), 0.1)
        self.assertEqual(NOTHING.error_ratio, 0.0)


class CanaryTests(unittest.TestCase):
    """Step by step, or back."""

    def setUp(self) -> None:
        self.canary = Canary(_PLAN, 1000.0)
        self.assertEqual(self.canary.look(1000.0, tally(500, 400), tally(9000)), "")  # before it: does not count

    def test_promotion(self) -> None:
        """Each step lasts its time, and has its requests; after the last it is done."""
        self.assertEqual((self.canary.percent, self.canary.note), (1.0, "canary at 1 %"))
        self.assertEqual(self.canary.look(1059.9, tally(800, 400), tally(9900)), "")
        happened = self.canary.look(1060.0, tally(800, 400), tally(9900))
        self.assertEqual(happened, "from 1 % to 10 %: 300 requests, 0 % errors")
        self.assertEqual(self.canary.look(1119.0, tally(1000, 402), tally(19900)), "")
        self.assertIn("from 10 % to 100 %", self.canary.look(1120.0, tally(1000, 402), tally(19900)))
        self.assertEqual(self.canary.state, "running")
        self.assertIn("done at 100 %", self.canary.look(1180.0, tally(2000, 402), tally(19900)))
        self.assertEqual((self.canary.state, self.canary.note), ("done", "canary done at 100 %"))
        self.assertEqual(self.canary.look(1300.0, tally(3000, 1402), tally(19900)), "")

    def test_too_few(self) -> None:
        """Of a handful nothing is concluded, neither good nor bad."""
        self.assertEqual(self.canary.look(2000.0, tally(599, 499), tally(9900)), "")
        self.assertEqual(self.canary.percent, 1.0)

    def test_errors(self) -> None:
        """Too many of them take it back at once, for good."""
        happened = self.canary.look(1005.0, tally(600, 403), tally(9900))
        self.assertEqual(happened, "rolled back: 3 % errors, more than 2 %, of 100 requests at 1 %")
        self.assertEqual((self.canary.percent, self.canary.state), (0.0, "aborted"))
        self.assertEqual(self.canary.note, "canary rolled back")
        self.assertEqual(self.canary.look(5000.0, tally(9000, 403), tally(19900)), "")

    def test_latency(self) -> None:
        """Too slow, by a bound."""
        happened = self.canary.look(1005.0, tally(700, 400, 100), tally(9100, 0, 100))
        self.assertEqual(happened, "rolled back: p95 of 950 ms, more than 500 ms, of 200 requests at 1 %")

    def test_beside_the_others(self) -> None:
        """Worse than the rest at the same time; where all are bad, the canary is not to blame."""
        plan = CanaryPlan("new", interval=60.0, minimum=10, more_errors=0.05, slower=((0.5, 2.0),))
        self.assertEqual(
            plan.wrong(tally(100, 16), tally(100, 10)), "16 % errors, more than 5 % above the 10 % of the others"
        )
        self.assertEqual(plan.wrong(tally(100, 14), tally(100, 10)), "")
        self.assertIn("more than 2 times the 50 ms", plan.wrong(tally(100, 0, 100), tally(100)))
        self.assertEqual(plan.wrong(tally(100, 0, 100), tally(100, 0, 100)), "")
        self.assertEqual(plan.wrong(tally(100, 50), tally(9)), "")

    def test_operators(self) -> None:
        """Pause, resume, promote, finish, abort, restart."""
        canary = self.canary
        self.assertEqual(canary.obey("pause", 1010.0), "paused at 1 %")
        self.assertEqual(canary.look(2000.0, tally(900, 400), tally(9900)), "")
        self.assertRaises(ValueError, canary.obey, "pause", 2000.0)
        self.assertEqual(canary.obey("resume", 2000.0), "goes on at 1 %")
        self.assertEqual(canary.look(2001.0, tally(900, 400), tally(9900)), "")
        self.assertEqual(canary.look(2059.0, tally(1900, 400), tally(9900)), "")
        self.assertEqual(canary.obey("promote", 2059.0), "promoted to 10 %")
        self.assertEqual(canary.look(2060.0, tally(1900, 400), tally(9900)), "")
        self.assertEqual(canary.obey("abort", 2061.0), "rolled back: by an operator")
        self.assertRaises(ValueError, canary.obey, "resume", 2062.0)
        self.assertEqual(canary.obey("restart", 2062.0), "begins anew at 1 %")
        self.assertEqual(canary.obey("finish", 2063.0), "done at 100 %")
        self.assertFalse(canary.in_charge)
        error = self.assertRaises(ValueError, canary.obey, "promote", 2064.0)
        self.assertEqual(str(error), "there is nothing to promote: the canary is done at 100 %")
        self.assertIn("expected one of pause", str(self.assertRaises(ValueError, canary.obey, "x", 2064.0)))

    def test_a_paused_one_is_taken_back_too(self) -> None:
        """Paused means: no more. Not: whatever happens."""
        self.canary.obey("pause", 1001.0)
        self.assertIn("rolled back", self.canary.look(1002.0, tally(700, 500), tally(9900)))

    def test_goes_on_in_another_process(self) -> None:
        """Step and time are the same; counting begins anew, for it is another's counting."""
        self.canary.look(1060.0, tally(800, 400), tally(9900))
        other = Canary(_PLAN, 0.0)
        other.go_on(self.canary.left(1090.0), 7.0)
        self.assertEqual((other.percent, other.report(7.0)["since"]), (10.0, 30.0))
        self.assertEqual(other.look(8.0, tally(0), tally(0)), "")
        self.assertIn("from 10 % to 100 %", other.look(37.0, tally(100), tally(0)))

    def test_weights(self) -> None:
        """The others share the rest as the file divides it."""
        weights = _PLAN.weights({"a": 3, "new": 50, "b": 1}, 10.0)
        self.assertEqual(weights, {"a": 67.5, "new": 10.0, "b": 22.5})
        self.assertIn(self.canary.state, STATES)
        self.assertEqual(repr(self.canary), "<Canary new running at 1 %>")
