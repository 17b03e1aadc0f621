"""Tests of sets of statuses."""

from __future__ import annotations

from typing import Any

from twisted.trial import unittest

from balancer.model.statuses import parse_statuses


class StatusesTests(unittest.TestCase):
    def test_read(self) -> None:
        """One, a range, several."""
        cases: tuple[tuple[Any, set[int]], ...] = (
            (200, {200}),
            ("200-202", {200, 201, 202}),
            ("200, 404", {200, 404}),
            ([500, "502-503"], {500, 502, 503}),
            (frozenset([1]), {1}),
        )
        for value, expected in cases:
            self.assertEqual(parse_statuses(value), expected)

    def test_refused(self) -> None:
        """What is no status says so."""
        cases: tuple[tuple[Any, str], ...] = (
            ("2xx", "expected a status"),
            ("299-200", "did you mean"),
            ([], "at least one"),
        )
        for value, words in cases:
            self.assertRaisesRegex(ValueError, words, parse_statuses, value)
