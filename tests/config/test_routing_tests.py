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
        for url in ("/a", "https://a/b"):
            self.assertEqual(SampleRequest(url=url).url, url)
        for url in ("a", "ftp://a/", "/a b", ""):
            self.assertRaises(ValidationError, SampleRequest, url=url)
