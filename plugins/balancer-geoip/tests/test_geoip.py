"""Tests of the matcher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import balancer_geoip
from twisted.trial.unittest import SynchronousTestCase

from balancer import testing
from balancer.errors import ConfigurationError
from tests.mmdb import write

PLACES = {
    "192.0.2.0/25": {"country": {"iso_code": "DE"}, "continent": {"code": "EU"}},
    "192.0.2.128/25": {"country": {"iso_code": "JP"}, "continent": {"code": "AS"}},
    "198.51.100.0/24": {"autonomous_system_number": 64496},
    "2001:db8::/32": {"registered_country": {"iso_code": "AT"}, "continent": {"code": "EU"}},
}


class GeoIPTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.database = Path(self.mktemp())
        write(self.database, PLACES)

    def matches(self, ip: str, **settings: Any) -> bool:
        made = testing.make(balancer_geoip, "matchers", "geoip", {"database": str(self.database), **settings})
        return bool(made.matches(testing.facts(client_ip=ip)))

    def test_places(self) -> None:
        """Country, continent and autonomous system, IPv4 and IPv6."""
        self.assertTrue(self.matches("192.0.2.1", country=["AT", "DE"]))
        self.assertFalse(self.matches("192.0.2.200", country=["AT", "DE"]))
        self.assertTrue(self.matches("192.0.2.200", continent=["AS"]))
        self.assertTrue(self.matches("198.51.100.7", asn=[64496]))
        self.assertTrue(self.matches("2001:db8::1", country=["AT"], continent=["EU"]))
        self.assertFalse(self.matches("192.0.2.1", country=["DE"], continent=["AS"]))

    def test_unknown(self) -> None:
        """Who is not in the database, or on a unix socket, matches nothing."""
        for ip in ("203.0.113.1", "::1", ""):
            self.assertFalse(self.matches(ip, country=["DE"], continent=["EU"]))

    def test_describe(self) -> None:
        """For explain."""
        made = testing.make(balancer_geoip, "matchers", "geoip", {"database": str(self.database), "country": ["DE"]})
        self.assertEqual(made.describe(), "country is DE")

    def test_bad_settings(self) -> None:
        """A database that is none, a code that is none, or nothing to look for is reported at its place."""
        broken = Path(self.mktemp())
        broken.write_bytes(b"no database")
        text = """
listeners:
  web:
    bind: 127.0.0.1:8080
    protocol: http
    routes:
      - match: {geoip: %s}
        respond: {status: 204}
pools: {}
"""
        for settings, words in (
            (f"{{database: {broken}, country: [DE]}}", "cannot be read"),
            ("{database: /nowhere.mmdb, country: [DE]}", "/nowhere.mmdb cannot be read"),
            (f"{{database: {self.database}, country: [Germany]}}", "country"),
            (f"{{database: {self.database}}}", "expected one of country, continent, asn"),
        ):
            with self.assertRaises(ConfigurationError) as caught:
                testing.Configured(text % settings, balancer_geoip)
            self.assertIn(words, str(caught.exception))
            self.assertIn("<text>:7:", str(caught.exception))
