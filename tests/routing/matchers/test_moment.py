"""Tests of :mod:`balancer.routing.matchers.moment`."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.address import Peer
from balancer.model.facts import RequestFacts
from balancer.routing.matchers.moment import TIME, TimeMatcher, TimeSettings


class TimeTests(SynchronousTestCase):
    def _holds(self, settings: dict[str, Any], moment: str, zone: str = "Europe/Berlin") -> bool:
        peer = Peer("192.0.2.1", 1)
        facts = RequestFacts("GET", "/", [], peer, peer)
        facts.at = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone)).timestamp()
        return TimeMatcher(TimeSettings.model_validate(settings)).matches(facts)

    def test_hours(self) -> None:
        """From and to are of the zone's clocks, in summer and in winter; the end is not in it."""
        office = {"days": "mon-fri", "from": "08:00", "to": "18:00", "zone": "Europe/Berlin"}
        for moment, holds in (
            ("2026-11-25T08:00", True),
            ("2026-11-25T07:59:59", False),
            ("2026-11-25T17:59:59", True),
            ("2026-11-25T18:00", False),
            ("2026-07-01T08:00", True),
            ("2026-07-01T07:59", False),
            ("2026-11-28T12:00", False),
        ):
            self.assertEqual(self._holds(office, moment), holds, moment)

    def test_past_midnight(self) -> None:
        """A night belongs to the day on which it began."""
        night = {"days": ["fri", "sat"], "from": "22:00", "to": "06:00", "zone": "Europe/Berlin"}
        for moment, holds in (
            ("2026-11-27T22:00", True),
            ("2026-11-28T05:59", True),
            ("2026-11-28T06:00", False),
            ("2026-11-29T03:00", True),
            ("2026-11-29T23:00", False),
            ("2026-11-27T03:00", False),
        ):
            self.assertEqual(self._holds(night, moment), holds, moment)
        self.assertTrue(self._holds({"days": "sat-mon"}, "2026-11-29T12:00"))
        self.assertFalse(self._holds({"days": "sat-mon"}, "2026-11-25T12:00"))
        self.assertTrue(self._holds({"from": "12:00", "to": "24:00", "zone": "Europe/Berlin"}, "2026-11-25T23:59"))

    def test_moments(self) -> None:
        """After, and before, are moments; without a zone they are UTC."""
        sale = {"after": "2026-11-27T00:00:00+01:00", "before": "2026-11-29T23:00:00"}
        for moment, holds in (
            ("2026-11-26T23:59:59", False),
            ("2026-11-27T00:00:00", True),
            ("2026-11-29T23:59:59", True),
            ("2026-11-30T00:00:00", False),
        ):
            self.assertEqual(self._holds(sale, moment), holds, moment)

    def test_words(self) -> None:
        settings = TimeSettings.model_validate({"days": ["mon", "tue"], "from": "08:00", "zone": "Europe/Berlin"})
        self.assertEqual(TIME.build(settings).describe(), "time is mon, tue 08:00 to 24:00 in Europe/Berlin")
        settings = TimeSettings.model_validate({"after": "2026-11-27"})
        self.assertEqual(TIME.build(settings).describe(), "time is after 2026-11-27T00:00:00Z")

    def test_refused(self) -> None:
        for wrong in (
            {},
            {"zone": "UTC"},
            {"days": "monday"},
            {"days": []},
            {"from": "8"},
            {"from": "24:01"},
            {"from": "08:00", "to": "08:00"},
            {"days": "mon", "zone": "Nowhere/Land"},
            {"days": "mon", "zone": "../../etc/passwd"},
            {"after": "tomorrow"},
            {"after": "2026-01-02", "before": "2026-01-01"},
        ):
            with self.assertRaises(ValueError):
                TimeSettings.model_validate(wrong)

    def test_now(self) -> None:
        """Live, it is now."""
        peer = Peer("192.0.2.1", 1)
        facts = RequestFacts("GET", "/", [], peer, peer)
        self.assertTrue(
            TimeMatcher(TimeSettings.model_validate({"after": "2020-01-01", "before": "9000-01-01"})).matches(facts)
        )
