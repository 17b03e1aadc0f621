"""Tests for :mod:`balancer.checks.malformed`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer import testing


class MalformedTests(SynchronousTestCase):
    def rules(self, settings: Any = None, **subject: Any) -> list[str]:
        check = testing.make(None, "checks", "malformed", settings)
        return [finding.rule for finding in testing.inspect(check, testing.subject(**subject)).findings]

    def test_kinds(self) -> None:
        """Each kind once; those that are all right are left out."""
        broken = {"url": "/?a=%x", "method": "POST", "headers": {"Content-Type": "application/json"}, "body": b"{"}
        self.assertEqual(self.rules(**broken), ["malformed/query.bad_escape", "malformed/json.invalid"])
        self.assertEqual(self.rules({"ignore": ["json.invalid"]}, **broken), ["malformed/query.bad_escape"])
        self.assertEqual(self.rules(url="/?a=1", method="POST", body=b"anything"), [])
