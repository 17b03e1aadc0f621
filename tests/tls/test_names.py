"""Tests for :mod:`balancer.tls.names`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.tls.names import covers, names_of, normal_name, wildcard_of
from tests.tls.authority import Authority

AUTHORITY = Authority()


class NameTests(SynchronousTestCase):
    """Names of certificates and of those who ask for them."""

    def test_normal(self) -> None:
        """Case, a dot at the end and characters beyond ASCII make no difference."""
        for given, expected in [
            ("Shop.Example.", "shop.example"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("*.Bücher.example", "*.xn--bcher-kva.example"),
            ("XN--bcher-KVA.example", "xn--bcher-kva.example"),
            ("", ""),
        ]:
            self.assertEqual(normal_name(given), expected)
        self.assertEqual(normal_name("\u2488.example"), "\u2488.example")

    def test_wildcard(self) -> None:
        """A wildcard stands for one label, which is the first."""
        self.assertEqual(wildcard_of("a.b.example"), "*.b.example")
        for none in ("example", "", ".example", "a."):
            self.assertEqual(wildcard_of(none), "")
        names = ("shop.example", "*.example.org")
        self.assertTrue(covers(names, "shop.example"))
        self.assertTrue(covers(names, "a.example.org"))
        for host in ("example.org", "a.b.example.org", "other.example", ""):
            self.assertFalse(covers(names, host), host)

    def test_of_certificate(self) -> None:
        """The alternative names count, addresses among them; the common name only where there are none."""
        issued = AUTHORITY.issue(
            "Shop.example", "*.shop.example", "192.0.2.1", "2001:db8::1", subject="CN=other.example"
        )
        self.assertEqual(names_of(issued.certificate), ("shop.example", "*.shop.example", "192.0.2.1", "2001:db8::1"))
        self.assertEqual(names_of(AUTHORITY.issue(subject="CN=old.example").certificate), ("old.example",))
        self.assertEqual(names_of(AUTHORITY.issue(subject="CN=A Company").certificate), ())
