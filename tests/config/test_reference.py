"""Tests for :mod:`balancer.config.reference`."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.json_schema import json_schema
from balancer.config.reference import reference
from tests.config.samples import Samples


class ReferenceTests(SynchronousTestCase):
    """The page made from the schema."""

    def setUp(self) -> None:
        self.page = reference(Samples())

    def test_every_key(self) -> None:
        """Every key of every section is on the page."""
        schema = json_schema(Samples())
        for definition in [schema, *schema["$defs"].values()]:
            for arm in definition.get("anyOf", [definition]):
                for key in arm.get("properties", {}):
                    self.assertIn(f"| `{key}` |", self.page)

    def test_links(self) -> None:
        """Every link leads to a section, every section has a heading of its own."""
        targets = re.findall(r"^\((.+)\)=$", self.page, re.MULTILINE)
        self.assertEqual(len(targets), len(set(targets)))
        self.assertEqual(set(re.findall(r"\]\(#(.+?)\)", self.page)), set(targets))
        headings = re.findall(r"^## (.+)$", self.page, re.MULTILINE)
        self.assertEqual(len(headings), len(set(headings)))

    def test_rows(self) -> None:
        """A row has key, type, default and description."""
        for row in (
            "| `graceful_timeout` | duration | `30s` | How long exchanges in flight may take at a stop. |",
            "| `bind` | text or list of text | **required** | Where to listen. |",
            "| `weight` | whole number | `1` | Share of the traffic; 0 takes nothing new. |",
            "| `algorithm` | [p2c](#configuration-p2csettings), `round_robin` | `p2c` | How a server is chosen: name or {name: settings}. |",
            "| `scheme` | `http` \\| `https` |  | How the client came: http or https. |",
        ):
            self.assertIn(row, self.page)

    def test_tables(self) -> None:
        """Every row of a table has four cells."""
        for line in self.page.splitlines():
            if line.startswith("|"):
                self.assertEqual(len(re.split(r"(?<!\\)\|", line)), 6, line)
