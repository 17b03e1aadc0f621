"""Tests for :mod:`balancer.config.subsets`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.subsets import Subset
from balancer.model.keys import Key
from tests.config.samples import pool_problems


class SubsetTests(SynchronousTestCase):
    """Subsets as written."""

    def test_forms(self) -> None:
        """One label need not be a list; sources are keys."""
        subset = Subset.model_validate({"by": "version", "sources": {"version": {"header": "X-Version"}}})
        self.assertEqual((subset.by, subset.fallback), (("version",), "any"))
        self.assertEqual(subset.sources["version"], Key("header", "X-Version"))

    def test_problems(self) -> None:
        """What cannot be meant is refused."""
        for value, words in [
            ("{by: [a, a]}", "different labels"),
            ("{by: [a, b, c, d, e]}", "up to 4"),
            ("{by: a, default: {b: x}}", "labels of 'by' (a), got 'b'"),
            ("{by: a, fallback: default}", "expected 'default' beside"),
            ("{by: a, fallback: other}", "any, default or none"),
        ]:
            self.assertIn(words, "\n".join(map(str, pool_problems(f"subset: {value}"))), value)
