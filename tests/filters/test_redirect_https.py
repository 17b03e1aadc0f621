"""Tests for :mod:`balancer.filters.redirect_https`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from balancer.filters.redirect_https import RedirectHttps
from balancer.hooks.interfaces import IFilter
from balancer.model.exchange import Exchange, Reply
from tests.routing.making import facts


def _reply(target: str, host: str = "shop.example", **settings: int) -> Reply:
    redirect = RedirectHttps(**settings)
    verifyObject(IFilter, redirect)
    found = redirect.request(Exchange(facts(target, host=host), []))
    assert found is not None
    return found


def _location(target: str, host: str = "shop.example", **settings: int) -> str:
    return dict(_reply(target, host, **settings).headers)[b"Location"].decode()


class RedirectHttpsTests(SynchronousTestCase):
    """http to https."""

    def test_kept(self) -> None:
        """Host, path and query as they were sent; the port of http is not that of https."""
        for target, host, expected in [
            ("/", "shop.example", "https://shop.example/"),
            ("/a%2Fb/%C3%BC?q=1&x=%20#f", "Shop.Example:8080", "https://shop.example/a%2Fb/%C3%BC?q=1&x=%20#f"),
            ("//evil.example/x", "shop.example", "https://shop.example//evil.example/x"),
            ("/", "[2001:db8::1]:80", "https://[2001:db8::1]/"),
            ("http://other.example/p?q", "shop.example", "https://other.example/p?q"),
            ("/a?", "shop.example", "https://shop.example/a"),
            ('/é"<>', "shop.example", "https://shop.example/%E9%22%3C%3E"),
        ]:
            target = target.partition("#")[0]
            self.assertEqual(_location(target, host), expected.partition("#")[0])
        self.assertEqual(_reply("/").status, 308)

    def test_settings(self) -> None:
        """Another port, another status."""
        self.assertEqual(_location("/a", port=8443), "https://shop.example:8443/a")
        self.assertEqual(_reply("/", status=301).status, 301)
        self.assertEqual(
            RedirectHttps(8443, 301).describe(Exchange(facts(), [])), "redirects to https on port 8443 with 301"
        )

    def test_no_host(self) -> None:
        """A request without a host, or with one that is none, cannot be redirected."""
        for host in ("", "a b", "a/b@c"):
            self.assertEqual(_reply("/", host).status, 400, host)

    def test_challenges(self) -> None:
        """What authorities ask for by http reaches the routes, where there are any."""
        redirect = RedirectHttps(challenges=True)
        for target, through in [
            ("/.well-known/acme-challenge/abc", True),
            ("/.well-known/acme-challenge", False),
            ("/.well-known/acme-challenge/../../x", False),
            ("/", False),
        ]:
            exchange = Exchange(facts(target), [])
            self.assertEqual(redirect.request(exchange) is None, through, target)
            self.assertEqual("lets challenges" in redirect.describe(exchange), through, target)
        self.assertIsNotNone(RedirectHttps().request(Exchange(facts("/.well-known/acme-challenge/abc"), [])))
