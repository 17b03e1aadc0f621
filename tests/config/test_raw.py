"""Tests for :mod:`balancer.config.raw`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.raw import entries_of, get, items_of, protocol_of


class RawTests(SynchronousTestCase):
    """Data of any shape."""

    def test_passed_over(self) -> None:
        """What has another shape yields nothing."""
        for value in (None, 5, "text", [1], {"a": 1}):
            self.assertEqual(dict(items_of(value)), value if isinstance(value, dict) else {})
            self.assertEqual([entry for _, entry in entries_of(value)], value if isinstance(value, list) else [])
            self.assertIsNone(get(value, "x", "y"))
        self.assertEqual(get({"a": {"b": 5}}, "a", "b"), 5)

    def test_protocol(self) -> None:
        """HTTP unless another is given; nothing where it cannot be told."""
        self.assertEqual(
            [protocol_of(value) for value in ({}, {"protocol": "udp"}, {"protocol": 5}, None)], ["http", "udp", "", ""]
        )
