"""Tests of the server's own names turned back into the client's."""

from __future__ import annotations

from twisted.trial import unittest

from balancer.filters.own_names import OwnNames, path_for_client
from balancer.filters.rewrite import REWRITE, RewriteSettings
from balancer.model.exchange import Exchange
from tests.routing.making import facts, route


def asked(
    prefix: str | None = "/app",
    host: str | None = "internal:8000",
    target: str = "/shop/x",
    scheme: str = "https",
    origin: str = "http://10.0.0.1:8000",
    client_host: str = "shop.example",
) -> Exchange:
    """Return an exchange whose request was rewritten, and that a server has answered."""
    request = facts(target, host=client_host, scheme=scheme)
    exchange = Exchange(request, list(request.headers), "r")
    exchange.entry = route("r", path="/shop/**")
    settings = {"path": {"prefix": prefix} if prefix is not None else None, "host": host}
    if any(value is not None for value in settings.values()):
        REWRITE.build(RewriteSettings.model_validate(settings)).request(exchange)
    exchange.origin = origin
    return exchange


class OwnNamesTests(unittest.TestCase):
    def check(self, exchange: Exchange, cases: dict[str, str], names: OwnNames | None = None) -> None:
        for said, told in cases.items():
            exchange.response_headers = [(b"Location", said.encode())]
            (names or OwnNames()).change(exchange)
            self.assertEqual(exchange.response_headers, [(b"Location", told.encode())], said)

    def test_turned_back(self) -> None:
        """Scheme, host and prefix, whether the server speaks of the host it was asked as or of its address."""
        self.check(
            asked(),
            {
                "http://internal:8000/app/login?x=1#y": "https://shop.example/shop/login?x=1#y",
                "http://10.0.0.1:8000/app": "https://shop.example/shop",
                "HTTP://INTERNAL:8000/app?x": "https://shop.example/shop?x",
                "/app/a%2Cb": "/shop/a%2Cb",
                "//internal:8000/app/": "//shop.example/shop/",
                "http://internal:8000": "https://shop.example",
            },
        )

    def test_others_stay(self) -> None:
        """URLs of others, relative ones, and paths that were not under the prefix."""
        self.check(
            asked(),
            {
                "https://other.example/app/": "https://other.example/app/",
                "http://internal:9000/app/": "http://internal:9000/app/",
                "mailto:a@b": "mailto:a@b",
                "ftp://internal:8000/app": "ftp://internal:8000/app",
                "login?x": "login?x",
                "/application": "/application",
                "http://internal:8000/other": "https://shop.example/other",
            },
        )

    def test_meant_schemes_stay(self) -> None:
        """A server that is spoken to in the clear and says https means it."""
        exchange = asked(None, None, scheme="http", client_host="shop.example:80")
        self.check(
            exchange,
            {
                "https://shop.example/login": "https://shop.example/login",
                "http://shop.example/login": "http://shop.example:80/login",
            },
        )
        exchange = asked(None, "internal", scheme="http", client_host="shop.example:8080")
        self.check(exchange, {"https://internal/x": "https://shop.example/x"})

    def test_encrypted_servers(self) -> None:
        """What a server says of https is turned into the client's scheme where it is spoken to so."""
        exchange = asked(
            host="internal", scheme="http", origin="https://10.0.0.1:8443", client_host="shop.example:8080"
        )
        self.check(
            exchange,
            {
                "https://internal/app/x": "http://shop.example:8080/shop/x",
                "https://internal:443/app/x": "http://shop.example:8080/shop/x",
                "https://10.0.0.1:8443/": "http://shop.example:8080/",
            },
        )

    def test_stripped_prefix(self) -> None:
        """A prefix that was taken away is put back; never two slashes at the beginning."""
        self.check(
            asked(""), {"/login": "/shop/login", "/": "/shop/", "http://internal:8000/": "https://shop.example/shop/"}
        )
        exchange = asked("/app", target="/shop")
        exchange.notes["rewrite"] = ("/app", "")
        self.check(exchange, {"/app//evil.example": "/evil.example", "/app": "/"})

    def test_rules_first(self) -> None:
        """Beginnings of URLs that are named are looked at before."""
        names = OwnNames([(b"http://internal:8000/app/", b"/"), (b"https://old.example", b"https://new.example")])
        self.check(
            asked(),
            {
                "http://internal:8000/app/x": "/x",
                "http://internal:8000/app//evil.example": "/evil.example",
                "https://old.example/x": "https://new.example/x",
                "http://internal:8000/y": "https://shop.example/y",
            },
            names,
        )

    def test_other_fields(self) -> None:
        """Content-Location and Refresh hold URLs as well."""
        exchange = asked()
        exchange.response_headers = [
            (b"content-location", b"/app/x"),
            (b"Refresh", b"5; url=http://internal:8000/app/y"),
            (b"refresh", b'0;URL="/app/z"'),
            (b"Refresh", b"5"),
            (b"Link", b"</app/x>"),
        ]
        OwnNames().change(exchange)
        self.assertEqual(
            [value for _, value in exchange.response_headers],
            [b"/shop/x", b"5; url=https://shop.example/shop/y", b'0;URL="/shop/z"', b"5", b"</app/x>"],
        )

    def test_our_own_answers(self) -> None:
        """What the balancer says itself is right as it is."""
        exchange = asked(origin="")
        self.check(exchange, {"/app/x": "/app/x", "http://internal:8000/": "http://internal:8000/"})

    def test_path_for_client(self) -> None:
        """Nothing changes where no prefix was replaced."""
        self.assertEqual(path_for_client(b"/app/x", asked(None)), b"/app/x")
        self.assertEqual(repr(OwnNames()), "<OwnNames 0 rules>")
