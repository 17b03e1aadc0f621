"""Tests for :mod:`balancer.filters.cors`."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError
from twisted.trial.unittest import SynchronousTestCase

from balancer.filters.cors import Cors, CorsSetting, CorsSettings, asked_headers
from balancer.model.exchange import Reply
from balancer.model.facts import RequestFacts
from balancer.model.headers import RawHeaders
from tests.routing.making import facts

READ: TypeAdapter[CorsSettings] = TypeAdapter(CorsSetting)
SHOP = "https://shop.example"


def cors(value: Any) -> Cors:
    return Cors(READ.validate_python(value))


def asking(origin: str = SHOP, headers: str = "content-type,x-grpc-web", method: str = "OPTIONS") -> RequestFacts:
    said = (("origin", origin), ("access-control-request-method", "POST"), ("access-control-request-headers", headers))
    return facts("/a.B/C", method, headers=said)


def told(reply: Reply) -> dict[bytes, bytes]:
    return dict(reply.headers)


class CorsTests(SynchronousTestCase):
    """Whose pages may call."""

    def test_origins(self) -> None:
        """Exact ones, all below a name, all."""
        rules = cors([SHOP, "https://*.shop.example", "http://localhost:3000", "null"])
        for origin in (SHOP, "HTTPS://Shop.Example", "https://a.b.shop.example", "http://localhost:3000", "null"):
            self.assertTrue(rules.admits(origin), origin)
        for origin in (
            "",
            "http://shop.example",
            "https://shop.example:8443",
            "https://evilshop.example",
            "https://.shop.example",
            "http://a.shop.example",
            "https://shop.example.evil",
        ):
            self.assertFalse(rules.admits(origin), origin)
        self.assertTrue(cors("*").admits("https://anything"))
        self.assertEqual(repr(cors([SHOP, "https://*.b.example"])), "<Cors https://shop.example, https://*.b.example>")
        self.assertEqual(repr(cors("*")), "<Cors *>")

    def test_settings(self) -> None:
        """A list, one, or all of it; what is no origin is refused, and credentials for everybody."""
        self.assertEqual(READ.validate_python(SHOP + "/").origins, (SHOP,))
        self.assertEqual(READ.validate_python({"origins": [SHOP], "max_age": "1h"}).max_age, 3600)
        for bad in (
            "shop.example",
            [],
            ["https://shop.example/path"],
            {"origins": ["*"], "credentials": True},
            "https://*",
        ):
            self.assertRaises(ValidationError, READ.validate_python, bad)

    def test_preflight(self) -> None:
        """A browser's question is answered with what it asks for."""
        reply = cors(SHOP).preflight(asking())
        self.assertEqual(reply.status, 204)
        self.assertEqual(
            told(reply),
            {
                b"Access-Control-Allow-Origin": SHOP.encode(),
                b"Access-Control-Allow-Methods": b"POST",
                b"Access-Control-Allow-Headers": b"content-type,x-grpc-web",
                b"Access-Control-Max-Age": b"600",
                b"Vary": b"Origin",
            },
        )
        self.assertEqual(told(cors("*").preflight(asking()))[b"Access-Control-Allow-Origin"], b"*")
        reply = cors({"origins": [SHOP], "credentials": True}).preflight(asking())
        self.assertEqual(told(reply)[b"Access-Control-Allow-Credentials"], b"true")

    def test_refused(self) -> None:
        """Other origins, and what are no names of headers."""
        self.assertEqual(cors(SHOP).preflight(asking("https://evil.example")).status, 403)
        self.assertEqual(cors(SHOP).preflight(asking(headers="a, b c")).status, 403)
        self.assertEqual(cors(SHOP).preflight(asking(headers="")).status, 204)

    def test_asked_headers(self) -> None:
        """What is no question of a browser asks for nothing."""
        self.assertEqual(asked_headers(asking(headers="Content-Type , X-Grpc-Web")), {"content-type", "x-grpc-web"})
        self.assertIsNone(asked_headers(asking(method="POST")))
        self.assertIsNone(asked_headers(facts("/", "OPTIONS", headers=(("origin", SHOP),))))

    def test_responses(self) -> None:
        """A page that may call may read all there is; what the server said of it is forgotten."""
        headers: RawHeaders = [
            (b"content-type", b"application/grpc-web"),
            (b"x-mine", b"1"),
            (b"access-control-allow-origin", b"*"),
        ]
        said = list(headers)
        cors(SHOP).allow(SHOP, said, (b"grpc-status",))
        self.assertEqual(
            said,
            [
                *headers[:2],
                (b"Access-Control-Allow-Origin", SHOP.encode()),
                (b"Vary", b"Origin"),
                (b"Access-Control-Expose-Headers", b"grpc-status, x-mine"),
            ],
        )
        for origin in (None, "https://evil.example"):
            said = list(headers)
            cors(SHOP).allow(origin, said)
            self.assertEqual(said, [*headers[:2], (b"Vary", b"Origin")])
