"""Tests for :mod:`balancer.tls.choice`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase

from balancer.tls.choice import Choice, UnknownDefaultError
from balancer.tls.identity import Identity


def identity(name: str, *names: str, kind: str = "ecdsa", days: float = 90) -> Identity:
    """Return an identity with nothing behind it."""
    return Identity(name, b"", b"", names, kind, 0.0, days * 86400, "1", name)


SHOP = identity("shop", "shop.example", "www.shop.example")
SHOP_RSA = identity("shop-rsa", "shop.example", "www.shop.example", kind="rsa")
WILD = identity("wild", "*.example.org", "example.org")
DEEP = identity("deep", "*.b.example.org")


class ChoiceTests(SynchronousTestCase):
    """Which certificate is shown to whom."""

    def setUp(self) -> None:
        self.choice = Choice([SHOP, SHOP_RSA, WILD, DEEP])

    def _names(self, sni: str, choice: Choice | None = None) -> str:
        return " ".join(each.name for each in (choice or self.choice).of(sni))

    def test_names(self) -> None:
        """Exact names, then the wildcard of one label, in any case; both kinds of key beside each other."""
        for sni, expected in [
            ("shop.example", "shop shop-rsa"),
            ("SHOP.example.", "shop shop-rsa"),
            ("example.org", "wild"),
            ("a.example.org", "wild"),
            ("b.example.org", "wild"),
            ("a.b.example.org", "deep"),
        ]:
            self.assertEqual(self._names(sni), expected, sni)

    def test_default(self) -> None:
        """Whoever asks for nothing, or for something else, is shown the first certificate, in all kinds it comes in."""
        for sni in ("", "other.example", "a.a.example.org", "xn--.example", "*.nothing"):
            self.assertEqual(self._names(sni), "shop shop-rsa", sni)

    def test_named_default(self) -> None:
        """The default may be a host, in any script, or the file of a certificate."""
        umlaut = identity("certs/umlaut.pem", "xn--bcher-kva.example")
        for default, expected in [
            ("a.example.org", "wild"),
            ("shop.example", "shop shop-rsa"),
            ("shop-rsa", "shop-rsa"),
            ("bücher.example", "certs/umlaut.pem"),
            ("./certs/umlaut.pem", "certs/umlaut.pem"),
        ]:
            choice = Choice([SHOP, SHOP_RSA, WILD, umlaut], default)
            self.assertEqual(self._names("", choice), expected, default)
        error = self.assertRaises(UnknownDefaultError, Choice, [SHOP, WILD], "nowhere.example")
        self.assertIn("one of shop, wild; got 'nowhere.example'", str(error))

    def test_strict(self) -> None:
        """With strict SNI there is no default."""
        choice = Choice([SHOP, WILD], strict=True)
        self.assertEqual(choice.of(""), ())
        self.assertEqual(choice.of("other.example"), ())
        self.assertEqual(self._names("shop.example", choice), "shop")
        self.assertEqual(repr(choice), "<Choice of 2 for 4 names, strict>")

    def test_renewed(self) -> None:
        """Of two certificates of one kind for one name, the one that lasts longer is shown; the other is told of."""
        new = identity("new", "shop.example", days=180)
        choice = Choice([SHOP, new])
        self.assertEqual(self._names("shop.example", choice), "new")
        self.assertEqual(self._names("www.shop.example", choice), "shop")
        self.assertEqual(choice.shadowed(), [(SHOP, new, "shop.example")])
        self.assertEqual(choice.unused(), [])
        newest = identity("newest", "shop.example", "www.shop.example", days=200)
        self.assertEqual([each.name for each in Choice([newest, SHOP]).unused()], ["shop"])

    def test_unused(self) -> None:
        """A certificate for nobody is shown only as the default."""
        nobody = identity("nobody")
        self.assertEqual(Choice([nobody, SHOP]).unused(), [])
        self.assertEqual(Choice([SHOP, nobody]).unused(), [nobody])
        self.assertEqual(Choice([nobody, SHOP], strict=True).unused(), [nobody])

    def test_covered(self) -> None:
        """Hosts of routes, wildcards among them."""
        for host in ("shop.example", "a.example.org", "*.example.org"):
            self.assertTrue(self.choice.covered(host), host)
        for host in ("*.shop.example", "other.example", "a.a.example.org"):
            self.assertFalse(self.choice.covered(host), host)

    @given(some.text(max_size=40))
    def test_whatever_is_asked_for(self, sni: str) -> None:
        """No name a client may send makes a choice fail, and what it is shown is the default or for that name."""
        for strict in (False, True):
            choice = Choice([SHOP, WILD], strict=strict)
            found = choice.of(sni)
            self.assertTrue(found or strict)
            if strict and found:
                self.assertTrue(choice.covered(sni))
