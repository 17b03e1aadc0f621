"""Tests of the example, with nothing but the testing kit."""

from __future__ import annotations

import time

import balancer_example
from balancer_example.office_hours import OfficeHours, OfficeHoursSettings
from twisted.internet.defer import succeed
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from balancer import testing
from balancer.errors import ConfigurationError
from balancer.observe.records import ExchangeRecord

CONFIGURATION = """
access_log: {format: tsv, path: "-"}
listeners:
  web:
    bind: 127.0.0.1:8080
    protocol: http
    filters:
      - waf: {checks: [scanner]}
      - stamp: {value: seen}
    routes:
      - match: {office_hours: {begin: 0, end: 24, weekends: true}, path: /open}
        pool: web
      - match: {path: /hello/**}
        resource: {hello: you}
pools:
  web:
    algorithm: primary
    servers: [{address: 127.0.0.1:9001, name: a}, {address: 127.0.0.1:9002, name: b}]
    health: {probe: {banner: "220 "}}
"""


class PrimaryTests(SynchronousTestCase):
    def test_shares(self) -> None:
        """Everything goes to the first server."""
        primary = testing.make(balancer_example, "algorithms", "primary")
        self.assertEqual(testing.shares(primary, testing.servers(a=1, b=5), 100), {"a": 1.0, "b": 0.0})


class OfficeHoursTests(SynchronousTestCase):
    def test_hours(self) -> None:
        """From the first hour to before the last, on working days."""
        for text, is_open in (
            ("Mon 08", False),
            ("Mon 09", True),
            ("Fri 16", True),
            ("Fri 17", False),
            ("Sat 12", False),
        ):
            now = time.strptime(
                f"{text} {'2024-01-0' + str(1 + 'MonTueWedThuFriSatSun'.index(text[:3]) // 3)}", "%a %H %Y-%m-%d"
            )
            matcher = OfficeHours(OfficeHoursSettings(), lambda now=now: now)  # type: ignore[misc]
            self.assertEqual(matcher.matches(testing.facts()), is_open, text)

    def test_settings(self) -> None:
        """A day that ends before it begins is refused."""
        with self.assertRaises(ValueError):
            testing.make(balancer_example, "matchers", "office_hours", {"begin": 9, "end": 9})


class FooterTests(SynchronousTestCase):
    def test_pages(self) -> None:
        """The line is at the end of pages, in whatever pieces they come; other bodies pass untouched."""
        footer = testing.make(balancer_example, "filters", "footer", "<!-- seen -->")
        exchange = testing.exchange(headers={"Accept-Encoding": "gzip"}, response_headers={"Content-Type": "text/html"})
        footer.request(exchange)
        self.assertEqual([name for name, _ in exchange.headers], [b"Host"])
        self.assertEqual(testing.body_after(footer, exchange, b"<p>hi"), b"<p>hi<!-- seen -->\n")
        image = testing.exchange(response_headers={"Content-Type": "image/png"})
        self.assertIsNone(testing.body_after(footer, image, b"x"))
        self.assertEqual(testing.account_of(footer).errors, 0)


class StampTests(SynchronousTestCase):
    def test_both_ways(self) -> None:
        """Request and response get the header; a second one is refused if so wanted."""
        stamp = testing.make(balancer_example, "filters", "stamp", {"value": "v", "refuse": True})
        exchange = testing.exchange("/", status=200)
        self.assertIsNone(stamp.request(exchange))
        stamp.response(exchange)
        self.assertIn((b"X-Stamp", b"v"), exchange.headers)
        self.assertEqual(exchange.response_headers, [(b"X-Stamp", b"v")])
        self.assertEqual(stamp.request(exchange).status, 400)


class ScannerTests(SynchronousTestCase):
    def test_scores(self) -> None:
        """A scanner's name is worth its score, others nothing."""
        check = testing.make(balancer_example, "checks", "scanner", {"score": 3})
        self.assertEqual(testing.inspect(check, testing.subject(headers={"User-Agent": "SQLMap/1"})).score, 3)
        self.assertEqual(testing.inspect(check, testing.subject(headers={"User-Agent": "Firefox"})).findings, ())


class BannerTests(SynchronousTestCase):
    def test_banner(self) -> None:
        """The right first line is well, another one is not."""
        for said, well in ((b"220 mail.example ready\r\n", True), (b"554 go away\r\n", False)):
            probe = testing.make(balancer_example, "probes", "banner", "220 ")
            protocols = []

            def connect(protocol, protocols=protocols):  # type: ignore[no-untyped-def]
                protocol.makeConnection(StringTransport())
                protocols.append(protocol)
                return succeed(protocol)

            asked = probe.probe(connect, testing.Server("a"))
            protocols[0].dataReceived(said)
            if well:
                self.assertEqual(self.successResultOf(asked), "220 mail.example ready")
            else:
                self.failureResultOf(asked, ValueError)


class ConfiguredTests(SynchronousTestCase):
    """All of it in one configuration."""

    def setUp(self) -> None:
        self.balancer = testing.Configured(CONFIGURATION, balancer_example)

    def test_goes_through(self) -> None:
        """A request is stamped, matched, and sent to the first server."""
        found = self.balancer.ask("/open")
        self.assertEqual((found.pool, found.server), ("web", "a"))
        assert found.request is not None
        self.assertIn(["X-Stamp", "seen"], [list(pair) for pair in found.request["headers"]])

    def test_is_refused(self) -> None:
        """A scanner gets 403."""
        self.assertEqual(self.balancer.ask("/open", headers={"User-Agent": "nikto"}).status, 403)

    def test_resource(self) -> None:
        """The resource is mounted."""
        self.assertEqual(self.balancer.ask("/hello/x").action, "resource")

    def test_bad_settings(self) -> None:
        """A wrong setting is reported where it stands."""
        with self.assertRaises(ConfigurationError) as caught:
            testing.Configured(CONFIGURATION.replace("value: seen", "valu: seen"), balancer_example)
        self.assertIn("<text>:9:17", str(caught.exception))

    def test_log(self) -> None:
        """A line has six values."""
        record = ExchangeRecord()
        record.method, record.target, record.status, record.server = "GET", "/a\tb", 200, "a"
        line = testing.make(balancer_example, "access_log_formats", "tsv").exchange(record)
        self.assertEqual(line.split("\t")[2:5], ["GET /a b", "200", "a"])
