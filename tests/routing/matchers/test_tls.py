"""Tests of conditions on TLS and on the client's certificate."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from twisted.trial import unittest
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IMatcher
from balancer.model.facts import RequestFacts
from balancer.model.tls import ClientCertificate, TLSInfo
from balancer.routing.matchers.tls import CLIENT_CERTIFICATE, SNI, TLS_VERSION
from tests.routing.making import facts

ALICE = ClientCertificate(
    "CN=alice,O=Example",
    "CN=Example CA",
    ("email:alice@example.org", "URI:spiffe://example.org/alice"),
    "ab" * 32,
    "4d2",
    0.0,
    "",
)


def _matcher(factory: Any, value: Any) -> Any:
    given = value if isinstance(value, dict) else {factory.bare: value}
    matcher = factory.build(factory.settings.model_validate(given))
    verifyObject(IMatcher, matcher)
    return matcher


def _facts(client: ClientCertificate | None = None, sni: str = "", version: str = "TLSv1.3") -> RequestFacts:
    found = facts(headers=(("X-Client-Cert-Subject", "CN=alice,O=Example"),))
    found.tls = TLSInfo(version, "", sni, client=client)
    return found


class ClientCertificateTests(unittest.TestCase):
    """Who the client has proved to be."""

    def test_present(self) -> None:
        """Whether there is one; a header that says so is no certificate."""
        some, none = _matcher(CLIENT_CERTIFICATE, True), _matcher(CLIENT_CERTIFICATE, False)
        for asked, there in ((facts(), False), (_facts(), False), (_facts(ALICE), True)):
            self.assertEqual((some.matches(asked), none.matches(asked)), (there, not there))
        self.assertEqual((some.describe(), none.describe()), ("a client certificate", "no client certificate"))

    def test_parts(self) -> None:
        """Subject, issuer, one of the names with or without its kind, fingerprint; all that are given must hold."""
        for settings, expected in [
            ({"subject": "CN=alice,O=Example"}, True),
            ({"subject": {"contains": "O=Example"}}, True),
            ({"subject": "CN=bob"}, False),
            ({"issuer": "CN=Example CA"}, True),
            ({"issuer": {"prefix": "CN=Other"}}, False),
            ({"san": "email:alice@example.org"}, True),
            ({"san": "alice@example.org"}, True),
            ({"san": {"prefix": "spiffe://example.org/"}}, True),
            ({"san": {"prefix": "DNS:"}}, False),
            ({"fingerprint": "AB:" * 31 + "AB"}, True),
            ({"fingerprint": ["cd" * 32, "ab" * 32]}, True),
            ({"fingerprint": "cd" * 32}, False),
            ({"subject": {"prefix": "CN=alice"}, "issuer": "CN=Other"}, False),
            ({"present": True, "subject": {"prefix": "CN=alice"}}, True),
        ]:
            matcher = _matcher(CLIENT_CERTIFICATE, settings)
            self.assertEqual(matcher.matches(_facts(ALICE)), expected, settings)
            self.assertFalse(matcher.matches(_facts()), settings)
            self.assertFalse(matcher.matches(facts()), settings)

    def test_described(self) -> None:
        """What is asked for, in words."""
        matcher = _matcher(CLIENT_CERTIFICATE, {"subject": "CN=a", "san": {"prefix": "x"}, "fingerprint": "ab" * 32})
        expected = "client certificate with subject 'CN=a' and san: prefix 'x' and fingerprint abababababababab…"
        self.assertEqual(matcher.describe(), expected)

    def test_refused(self) -> None:
        """Conditions that say nothing, or cannot be."""
        for bad in (
            {},
            {"fingerprint": "ab"},
            {"fingerprint": []},
            {"present": False, "subject": "a"},
            {"present": "x"},
        ):
            self.assertRaises(ValidationError, CLIENT_CERTIFICATE.settings.model_validate, bad)


class HandshakeTests(unittest.TestCase):
    """What the handshake was for, and what it came to."""

    def test_sni(self) -> None:
        """Exact names and wildcards; whoever asked for nothing, or came without TLS, matches none."""
        matcher = _matcher(SNI, ["shop.example", "*.example.org"])
        for sni, expected in (("shop.example", True), ("a.b.example.org", True), ("example.org", False), ("", False)):
            self.assertEqual(matcher.matches(_facts(sni=sni)), expected, sni)
        self.assertFalse(matcher.matches(facts(host="shop.example")))
        self.assertEqual(matcher.describe(), "SNI is shop.example or *.example.org")
        for bad in ([], 5, "a b"):
            self.assertRaises(ValidationError, SNI.settings.model_validate, {"names": bad})

    def test_version(self) -> None:
        """1.2 or 1.3."""
        matcher = _matcher(TLS_VERSION, "1.3")
        self.assertTrue(matcher.matches(_facts()))
        self.assertFalse(matcher.matches(_facts(version="TLSv1.2")))
        self.assertFalse(matcher.matches(facts()))
        self.assertTrue(_matcher(TLS_VERSION, ["1.2", "1.3"]).matches(_facts(version="TLSv1.2")))
        self.assertEqual(matcher.describe(), "TLS is 1.3")
        self.assertRaises(ValidationError, TLS_VERSION.settings.model_validate, {"versions": "1.1"})
