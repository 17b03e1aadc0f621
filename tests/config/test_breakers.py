"""Tests for :mod:`balancer.config.breakers`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.breakers import Breaker, Trip
from balancer.pools.circuit import TripSettings
from tests.config.samples import pool_problems


class BreakerTests(SynchronousTestCase):
    """Breakers as written."""

    def test_defaults(self) -> None:
        """Nothing is limited, and nothing trips, unless it is asked for; ``trip: true`` takes the defaults of the pools."""
        self.assertEqual(set(Breaker().model_dump().values()), {None})
        breaker = Breaker.model_validate({"trip": True})
        self.assertEqual(breaker.trip, Trip())
        assert breaker.trip is not None
        self.assertEqual(TripSettings(**dict(breaker.trip)), TripSettings())

    def test_latency_alone(self) -> None:
        """Failures may be left out of account where slowness is not."""
        trip = Trip.model_validate({"error_ratio": False, "slow": "500ms", "slow_ratio": "20%"})
        self.assertEqual((trip.error_ratio, trip.slow, trip.slow_ratio), (None, 0.5, 0.2))

    def test_problems(self) -> None:
        """What could never open, or never close, is refused where it stands."""
        for value, words in [
            ("{requests: 0}", "a value of 1 or more"),
            ("{trip: {error_ratio: false}}", "without both it never opens"),
            ("{trip: {error_ratio: 0%}}", "it would always be open"),
            ("{trip: {window: 0s}}", "a value above 0"),
            ("{limit: 5}", "unknown key"),
        ]:
            self.assertIn(words, "\n".join(map(str, pool_problems(f"breaker: {value}"))), value)
