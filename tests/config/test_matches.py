"""Tests for :mod:`balancer.config.matches`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.matches import MATCHERS, Match, SessionMatch, StreamMatch
from balancer.hooks.settings import StringMatch
from balancer.model.patterns import HostPattern, PathPattern
from tests.config.samples import CountrySettings, Samples, problems_in, route_problems


def _match(**conditions: object) -> Match:
    return Match.model_validate(conditions, context={"registry": Samples()})


class MatchTests(SynchronousTestCase):
    """Conditions on requests."""

    def test_one_or_many(self) -> None:
        """Host, path, method and client are one value or a list."""
        match = _match(host="a.b", path=["/a", {"regex": "^/b"}], method="GET", client=["10.0.0.0/8", "::1"])
        self.assertEqual(match.host, (HostPattern("a.b"),))
        self.assertEqual(match.path, (PathPattern.parse("/a"), PathPattern.regex("^/b")))
        self.assertEqual(match.method, ("GET",))
        self.assertEqual(len(match.client), 2)

    def test_strings(self) -> None:
        """Headers, cookies and query parameters match text or conditions; names of headers are in lower case."""
        match = _match(headers={"X-A": "1", "X-B": {"present": False}}, cookies={"C": 5}, query={"Q": {"prefix": "p"}})
        self.assertEqual(match.headers, {"x-a": StringMatch(exact="1"), "x-b": StringMatch(present=False)})
        self.assertEqual(match.cookies["C"], StringMatch(exact="5"))

    def test_nesting(self) -> None:
        """``all``, ``any`` and ``not`` hold further conditions."""
        match = _match(
            **{"all": [{"host": "a"}], "any": [{"path": "/"}, {"method": "GET"}], "not": {"any": [{"host": "b"}]}}
        )
        self.assertEqual(len(match.any), 2)
        self.assertIsNotNone(match.not_)
        self.assertEqual(match.not_ and match.not_.any[0].host, (HostPattern("b"),))

    def test_plug_ins(self) -> None:
        """A plug-in's matcher is a key of its own, at any depth; ``bare`` sets one field."""
        match = _match(**{"host": "a", "geoip": "DE", "not": {"geoip": {"country": ["AT"]}}})
        self.assertEqual(match.matchers[0].name, "geoip")
        self.assertEqual(match.matchers[0].settings, CountrySettings(country="DE"))
        self.assertEqual(match.not_ and match.not_.matchers[0].settings, CountrySettings(country=("AT",)))

    def test_refused(self) -> None:
        """Errors in every part, also beside and inside a plug-in's settings."""
        for conditions, expected in [
            ("hots: a", ["match.hots: unknown key 'hots'; did you mean 'host'?"]),
            ("geip: DE", ["match.geip: unknown key 'geip'; did you mean 'geoip'?"]),
            ("host: []", ["match.host: expected at least one value, got an empty list"]),
            ("any: []", ["match.any: expected at least one entry, got an empty list"]),
            ("geoip: {}", ["match.geoip.country: expected 'country': country codes"]),
            ("geoip: {country: 5}", ["match.geoip.country: expected text or a list, got 5"]),
            ("geoip: {country: [DE, 5]}", ["match.geoip.country[1]: expected text, got 5 (quote it)"]),
            (
                "host: 'a b', geoip: {contry: x, country: DE}",
                [
                    "match.host: expected a host name such as 'shop.example' or '*.example.org', got 'a b'",
                    "match.geoip.contry: unknown key 'contry'; did you mean 'country'?",
                ],
            ),
            ("headers: {A: true}", ["match.headers.A: expected a string; quote it, or write {present: true}"]),
            (
                "headers: {A: {}}",
                ["match.headers.A: expected a string or one of exact, prefix, suffix, contains, regex, present"],
            ),
            ("headers: {'a b': x}", ["match.headers[\"a b\"]: expected the name of a header, got 'a b'"]),
            ("scheme: ftp", ["match.scheme: expected http or https, got 'ftp'"]),
            ("not: {any: [{path: x}]}", ["match.not.any[0].path: expected a path that begins with '/', got 'x'"]),
            ("path: {regex: (}", ["match.path.regex: expected an RE2 regular expression: missing ): ("]),
            ("path: [/a, {regex: (}]", ["match.path[1].regex: expected an RE2 regular expression"]),
            (f"'{MATCHERS}': 5", [f"match[\"{MATCHERS}\"]: unknown key '{MATCHERS}'"]),
        ]:
            with self.subTest(conditions):
                found = route_problems(f"{{pool: app, match: {{{conditions}}}}}")
                self.assertEqual([each[: len(want)] for each, want in zip(found, expected, strict=True)], expected)


class SessionMatchTests(SynchronousTestCase):
    """Conditions on sessions."""

    def test_values(self) -> None:
        """Client, port and address are one value or a list."""
        match = SessionMatch.model_validate({"client": "10.0.0.0/8", "local_port": [80, 81], "local_address": "::1"})
        self.assertEqual(match.local_port, (80, 81))
        self.assertEqual(str(match.local_address[0]), "::1")


class StreamMatchTests(SynchronousTestCase):
    """Conditions on what a TLS client asks for."""

    def test_values(self) -> None:
        """Names as for hosts, in the form that goes over the wire; protocols as in ALPN; one or a list."""
        match = StreamMatch.model_validate({"sni": ["Bücher.example", "*.Shop.example."], "alpn": "h2"})
        self.assertEqual(match.sni, (HostPattern("xn--bcher-kva.example"), HostPattern("shop.example", wildcard=True)))
        self.assertEqual(match.alpn, ("h2",))

    def test_refused(self) -> None:
        """What no client can ask for, and what belongs to TCP."""
        text = "listeners: {l: {bind: '*:1', protocol: @, routes: [{pool: p, match: {#}}]}}\npools: {p: {servers: ['a:1']}}"
        for protocol, conditions, expected in (
            (
                "tcp",
                "sni: 192.0.2.1",
                "sni: expected a name, as TLS clients do not ask for an address, got '192.0.2.1'",
            ),
            ("tcp", "sni: '::1'", "sni: expected a name, as TLS clients do not ask for an address, got '::1'"),
            ("tcp", "sni: 'a b'", "sni: expected a host name such as 'shop.example' or '*.example.org', got 'a b'"),
            ("tcp", "sni: []", "sni: expected at least one value, got an empty list"),
            ("tcp", "alpn: http2", "alpn: expected a protocol's name as in ALPN, got 'http2'; did you mean 'h2'?"),
            ("tcp", "alpn: ''", "alpn: expected a protocol's name as in ALPN, such as h2 or http/1.1, got ''"),
            ("udp", "sni: a.b", "sni: unknown key 'sni' here: it belongs to listeners with 'protocol: tcp'"),
            ("http", "alpn: h2", "alpn: unknown key 'alpn' here: it belongs to listeners with 'protocol: tcp'"),
        ):
            found = problems_in(text.replace("@", protocol).replace("#", conditions))
            self.assertEqual([f"{each.path.partition('match.')[2]}: {each.message}" for each in found], [expected])
