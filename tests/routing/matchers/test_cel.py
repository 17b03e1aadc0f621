"""Tests of :mod:`balancer.routing.matchers.cel`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.address import Peer
from balancer.model.facts import RequestFacts
from balancer.model.tls import TLSInfo
from balancer.routing.matchers.cel import CEL, CelSettings


class CelTests(SynchronousTestCase):
    def holds(self, expression: str) -> bool:
        headers = [
            (b"Host", b"shop.example"),
            (b"X-Plan", b"gold"),
            (b"X-Two", b"a"),
            (b"x-two", b"b"),
            (b"Cookie", b"c=1"),
        ]
        tls = TLSInfo("TLSv1.3", "X", "shop.example")
        facts = RequestFacts(
            "GET", "/a%20b/\xff?q=1&q=2&r", headers, Peer("192.0.2.7", 9), Peer("192.0.2.1", 443), "https", tls=tls
        )
        return bool(CEL.build(CelSettings(expression=expression)).matches(facts))

    def test_true(self) -> None:
        """Everything that an expression may speak of."""
        for expression in (
            "request.method == 'GET' && request.scheme == 'https' && request.version == '1.1'",
            "request.path.startsWith('/a b/') && request.host == 'shop.example'",
            "request.target.contains('%20')",
            "request.headers['x-plan'] == 'gold' && request.headers['x-two'] == 'a, b'",
            "request.query['q'] == '1' && request.query['r'] == '' && size(request.query) == 2",
            "request.cookies['c'] == '1' && !('d' in request.cookies)",
            "client.ip == '192.0.2.7' && client.port == 9",
            "tls.version == 'TLSv1.3' && tls.sni == 'shop.example' && tls.subject == ''",
            "now > timestamp('2020-01-01T00:00:00Z')",
            "request.path.matches('^/[a-z]')",
        ):
            self.assertTrue(self.holds(expression), expression)

    def test_not_true(self) -> None:
        """False, of another type, or failing: does not match."""
        for expression in (
            "false",
            "request.method",
            "1",
            "request.headers['nope'] == 'x'",
            "1/0 == 1",
            "request.nope == 1",
        ):
            self.assertFalse(self.holds(expression), expression)

    def test_refused(self) -> None:
        """What is no expression, or speaks of what there is not, is refused when it is built."""
        for expression, words in (
            ("request.path ==", "expected a CEL expression"),
            ("requst.path == 'a'", "unknown name 'requst' in the expression; known: client, now, request, tls"),
            ("nosuch(request.path)", "nosuch"),
        ):
            with self.assertRaises(ValueError) as caught:
                self.holds(expression)
            self.assertIn(words, str(caught.exception))
        self.assertEqual(CEL.build(CelSettings(expression="true")).describe(), "CEL: true")
