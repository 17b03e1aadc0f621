"""Tests for :mod:`balancer.checks.request_limits`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer import testing
from balancer.checks import builtins


class RequestLimitsTests(SynchronousTestCase):
    def rules(self, url: str, settings: Any, **headers: str) -> list[str]:
        check = testing.make(None, "checks", "request_limits", settings)
        verdict = testing.inspect(check, testing.subject(url, headers=headers))
        return [finding.rule.partition("/")[2] for finding in verdict.findings]

    def test_limits(self) -> None:
        """Each has its rule; what is within them is nothing."""
        self.assertEqual(self.rules("/?a=1&b=2", None, Cookie="a=1"), [])
        self.assertEqual(self.rules("/?a=1&b=2", {"arguments": 1}), ["arguments"])
        self.assertEqual(self.rules("/?abc=1", {"name": 2}), ["name"])
        self.assertEqual(self.rules("/?a=123", {"value": 2, "score": 1}), ["value"])
        self.assertEqual(self.rules("/", {"cookies": 1}, Cookie="a=1; b=2"), ["cookies"])

    def test_offered(self) -> None:
        """Both built-in checks are."""
        self.assertEqual([factory.name for factory in builtins.balancer_checks()], ["malformed", "request_limits"])
