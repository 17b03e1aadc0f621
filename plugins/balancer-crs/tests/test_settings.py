"""Tests of the check's settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from balancer_crs.settings import Anomaly, CRSSettings, Exclusion
from pydantic import ValidationError
from ruamel.yaml import YAML
from twisted.trial.unittest import SynchronousTestCase


class SettingsTests(SynchronousTestCase):
    def test_bare(self) -> None:
        """A bare string is where the rules are; nothing given, nothing set."""
        self.assertEqual(CRSSettings.model_validate("/srv/crs"), CRSSettings(rules="/srv/crs"))
        self.assertIsNone(CRSSettings().paranoia)
        self.assertTrue(CRSSettings().fold)

    def test_relative(self) -> None:
        """Paths count from the configuration's directory."""
        found = CRSSettings.model_validate({"rules": "crs"}, context={"directory": "/etc/balancer"})
        self.assertEqual(found.rules, "/etc/balancer/crs")

    def test_refused(self) -> None:
        """Levels, scores, shares and names that are none."""
        for settings, reason in (
            ({"paranoia": 5}, "less than or equal to 4"),
            ({"paranoia": 3, "detection_paranoia": 2}, "of at least paranoia"),
            ({"anomaly": {"inbound": 0}}, "greater than or equal to 1"),
            ({"sampling": 101}, "less than or equal to 100"),
            ({"variables": {"a b": 1}}, "pattern"),
            ({"other": 1}, "not permitted"),
        ):
            with self.assertRaises(ValidationError) as caught:
                CRSSettings.model_validate(settings)
            self.assertIn(reason, str(caught.exception))


class ExclusionTests(SynchronousTestCase):
    def make(self, value: Any) -> Exclusion:
        return Exclusion.model_validate(value)

    def test_bare(self) -> None:
        """A bare id, range or list is that of rules."""
        self.assertEqual(self.make(942100).ranges, ((942100, 942100),))
        self.assertEqual(self.make("942100-942199").ranges, ((942100, 942199),))
        self.assertEqual(self.make({"rule": [1, "5-7"]}).ranges, ((1, 1), (5, 7)))

    def test_paths(self) -> None:
        """A path is all of it; /** what is below it too; nothing in it is an expression."""
        self.assertEqual(self.make({"rule": 1, "path": "/a.b"}).pattern, r"^/a\.b$")
        self.assertEqual(self.make({"rule": 1, "path": "/a/**"}).pattern, "^/a(?:/|$)")
        self.assertIsNone(self.make(1).pattern)

    def test_refused(self) -> None:
        """What excludes nothing, what is no rule or variable, and what would disarm all, unless it is said to be meant."""
        for value, reason in (
            ({}, "one of rule, tag, message"),
            ({"target": "ARGS:a"}, "one of rule, tag, message"),
            ("x", "expected a rule's id"),
            ({"rule": {"a": 1}}, "expected a rule's id"),
            ({"rule": 1, "target": "ARG:a"}, "unknown variable ARG; did you mean ARGS?"),
            ({"rule": 1, "target": "!ARGS:a"}, "without ! or &"),
            ({"rule": 1, "target": 5}, "expected a variable"),
            ({"rule": 1, "path": "a"}, "pattern"),
            (949110, "nothing is ever blocked"),
            ("1-999999", "nothing is ever blocked"),
        ):
            with self.assertRaises(ValidationError) as caught:
                self.make(value)
            self.assertIn(reason, str(caught.exception))
        self.make({"rule": 949110, "disarm": True})
        self.make({"rule": "1-999999", "target": "ARGS:a"})


class DocumentationTests(SynchronousTestCase):
    def test_page(self) -> None:
        """The page shows every setting, in a block that is valid."""
        page = (Path(__file__).resolve().parents[3] / "docs" / "howto" / "crs.md").read_text()
        [block] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
        shown = CRSSettings.model_validate(YAML(typ="safe").load(block)["crs"])
        self.assertEqual(shown.model_fields_set, set(CRSSettings.model_fields))
        self.assertEqual(shown.anomaly.model_fields_set, set(Anomaly.model_fields))
        for name in Exclusion.model_fields:
            self.assertIn(f"`{name}", page)
