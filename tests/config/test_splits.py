"""Tests of the configuration of splits."""

from __future__ import annotations

from twisted.trial import unittest

from balancer.config.splits import Split
from tests.config.test_routes import route_problems


class SplitTests(unittest.TestCase):
    """What may be written, and what is said of what may not."""

    def test_whole(self) -> None:
        """Everything there is."""
        split = Split.model_validate(
            {
                "weights": {"a": 99.5, "b": 0.5},
                "sticky": "cookie",
                "override": {"header": "X-Version", "only": "10.0.0.0/8"},
            }
        )
        self.assertEqual(dict(split.weights), {"a": 99.5, "b": 0.5})
        assert split.sticky is not None
        assert split.override is not None
        self.assertEqual((split.sticky.cookie.name, split.override.header), ("side", "x-version"))

    def test_refused(self) -> None:
        """Each at its place."""
        for route, expected in (
            ("{split: {app: true}}", "split.app: expected a number, got true"),
            ("{split: {app: .nan}}", "split.app: expected a finite number, got nan"),
            (
                "{split: {weights: {app: 1}, override: {only: 10.0.0.0/8}}}",
                "split.override: expected 'header' or 'cookie', or both",
            ),
            (
                "{split: {weights: {app: 1}, sticky: {}}}",
                "split.sticky.cookie: expected 'cookie': by a cookie of ours",
            ),
        ):
            with self.subTest(route):
                self.assertEqual(route_problems(route), [expected])
