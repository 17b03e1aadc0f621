"""Tests for :mod:`balancer.model.inspection.terms`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer.model.inspection.terms import Buffer, CheckTerms


class TermsTests(SynchronousTestCase):
    def test_defaults(self) -> None:
        """A check that says nothing looks at heads, at once."""
        terms = CheckTerms()
        self.assertEqual((terms.phases, terms.lane, terms.seconds), (("request_head",), "inline", 0.001))
        self.assertEqual(CheckTerms(lane="thread").seconds, 0.05)
        self.assertEqual(CheckTerms(lane="remote", budget=2.0).seconds, 2.0)

    def test_contradictions(self) -> None:
        """Are refused, in words."""
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"phases": ()}, "phases must be some of"),
            ({"phases": ("body",)}, "phases must be some of"),
            ({"lane": "process"}, "lane must be one of inline, thread, remote, not 'process'"),
            ({"on_error": "deny"}, "on_error must be one of"),
            ({"on_timeout": "deny"}, "on_timeout must be one of"),
            ({"phases": ("request_body",)}, "go together"),
            ({"request_body": "tap"}, "go together"),
            ({"phases": ("response_body",), "response_body": "whole"}, "must be 'none', 'tap' or a Buffer"),
            ({"phases": ("request_body",), "request_body": Buffer(0)}, "at least 1 byte"),
            ({"phases": ("request_body",), "request_body": "tap", "lane": "thread"}, "its lane is inline"),
            ({"budget": 0.0}, "budget must be some seconds"),
            ({"ids": (1, 5)}, "ids must be a range"),
        ]
        for given, words in wrong:
            self.assertIn(words, str(self.assertRaises(ValueError, CheckTerms, **given)), given)

    def test_types(self) -> None:
        """A buffer may be for some types only."""
        self.assertTrue(Buffer().wants("image/png"))
        for pattern, kind, wanted in (
            ("text/*", "text/html", True),
            ("text/*", "image/png", False),
            ("*+json", "application/a+json", True),
            ("application/json", "application/json", True),
            ("application/json", "application/jsonp", False),
        ):
            self.assertEqual(Buffer(types=(pattern,)).wants(kind), wanted, (pattern, kind))
