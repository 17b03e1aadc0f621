"""Tests for :mod:`balancer.cli.plugins`; packages that are installed are tested live."""

from __future__ import annotations

import json

from tests.cli.commands import CommandTestCase


class PluginsTests(CommandTestCase):
    def test_builtin(self) -> None:
        """What comes with the balancer is listed when asked for."""
        found = json.loads(self.balancer("plugins", "--builtin", "--json").stdout)
        offers = {kind: names for package in found for kind, names in package["offers"].items()}
        self.assertIn("maglev", offers["algorithms"])
        self.assertIn("p2c", self.balancer("plugins", "--builtin").stdout)
