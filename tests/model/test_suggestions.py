"""Tests for :mod:`balancer.model.suggestions`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.suggestions import did_you_mean, listed, nearest

NAMES = ["round_robin", "least_conn", "servers", "udp", "tcp"]


class NearestTests(SynchronousTestCase):
    """What somebody probably meant."""

    def test_slips(self) -> None:
        """A letter too few, too many, wrong or out of place is found; so are other case and dashes."""
        for slip, meant in [
            ("round_robn", "round_robin"),
            ("Round-Robin", "round_robin"),
            ("leastconn", "least_conn"),
            ("serevrs", "servers"),
            ("udb", "udp"),
        ]:
            self.assertEqual(nearest(slip, NAMES), meant)

    def test_far(self) -> None:
        """What is not near is not guessed."""
        for other in ("secret", "x", "maglev", ""):
            self.assertIsNone(nearest(other, NAMES))


class DidYouMeanTests(SynchronousTestCase):
    """The end of a message."""

    def test_forms(self) -> None:
        """The nearest if there is one, else all if they are few, else nothing."""
        self.assertEqual(did_you_mean("server", NAMES), "; did you mean 'servers'?")
        self.assertEqual(did_you_mean("zzz", ["b", "a"]), "; there are: a, b")
        self.assertEqual(did_you_mean("zzz", [f"name{at}" for at in range(50)]), "")
        self.assertEqual(did_you_mean("zzz", []), "")

    def test_listed(self) -> None:
        """Names are listed in order."""
        self.assertEqual(listed({"b", "a"}), "a, b")
