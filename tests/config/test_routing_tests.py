"""Tests for :mod:`balancer.config.routing_tests`."""

from __future__ import annotations

from pydantic import ValidationError
from twisted.trial.unittest import SynchronousTestCase

from balancer.config.routing_tests import RoutingTest, SampleRequest
from balancer.hooks.settings import StringMatch


class RoutingTestTests(SynchronousTestCase):
    """Routing tests as written."""

    def test_values(self) -> None:
        """A request with its defaults, and what is expected of it."""
        test = RoutingTest.model_validate(
            {
                "name": "users",
                "request": {"url": "http://shop.example/a?b=c", "headers": {"Accept": ["a", "b"], "X": "y"}},
                "expect": {"route": "users", "request_headers": {"X-Team": "users", "X-Debug": {"present": False}}},
            }
        )
        self.assertEqual(test.request.method, "GET")
        self.assertEqual(str(test.request.client_ip), "127.0.0.1")
        self.assertEqual(test.request.headers, {"accept": ("a", "b"), "x": ("y",)})
        self.assertEqual(test.expect.request_headers["x-debug"], StringMatch(present=False))

    def test_urls(self) -> None:
        """A URL is absolute, or a path."""
        for url in ("/a", "https://a/b", "tcp://a:1", "tls://a.example:443", "udp://a:53"):
            self.assertEqual(SampleRequest(url=url).url, url)
        for url in ("a", "ftp://a/", "/a b", ""):
            self.assertRaises(ValidationError, SampleRequest, url=url)

    def test_sessions(self) -> None:
        """What a TLS client asks for goes with a session only, and a client asks for one name."""
        request = SampleRequest(url="tcp://a:1", sni="Shop.example", alpn="h2")
        self.assertEqual((str(request.sni), request.alpn), ("shop.example", ("h2",)))
        for wrong in (
            {"url": "/a", "sni": "a"},
            {"url": "udp://a:1", "alpn": ["h2"]},
            {"url": "tcp://a:1", "sni": "*.a"},
        ):
            self.assertRaises(ValidationError, SampleRequest, **wrong)
