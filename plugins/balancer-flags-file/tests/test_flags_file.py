"""Tests of the source."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import balancer_flags_file
from balancer_flags_file.source import FlagsFile
from twisted.trial.unittest import SynchronousTestCase

from balancer import testing


class FlagsFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.now = 100.0

    def source(self, **flags: Any) -> FlagsFile:
        self.path.write_text(json.dumps(flags))
        return FlagsFile(str(self.path), lambda: self.now)

    def test_values(self) -> None:
        """A constant, a flag that is not there, one for nobody else."""
        source = self.source(banner="on", beta={"percent": {"yes": 0}})
        self.assertEqual([source.value(name, testing.facts()) for name in ("banner", "beta", "x")], ["on", None, None])

    def test_shares(self) -> None:
        """Of 100,000 clients, within half a per cent; the same client always the same; who is in stays in."""
        flag = {"of": {"header": "x-user"}, "percent": {"new": 10, "beta": 2.5}, "otherwise": "old"}
        source, more = self.source(shop=flag), self.source(shop={**flag, "percent": {"new": 20}})
        source = self.source(shop=flag)
        requests = [testing.facts(headers={"x-user": f"u{at}"}) for at in range(100_000)]
        values = [source.value("shop", each) for each in requests]
        shares = Counter(values)
        for value, share in {"new": 0.1, "beta": 0.025, "old": 0.875}.items():
            self.assertApproximates(shares[value] / 100_000, share, 0.005)
        self.assertEqual([source.value("shop", each) for each in requests[:100]], values[:100])
        for each, value in zip(requests[:5000], values, strict=False):
            if value == "new":
                self.assertEqual(more.value("shop", each), "new")
        self.assertEqual(source.value("shop", testing.facts()), "old")

    def test_read_again(self) -> None:
        """When it has changed, a second later at the latest; a broken or missing file changes nothing."""
        source = self.source(banner="on")
        self.path.write_text("banner: 'off'  # now in YAML\n")
        self.assertEqual(source.value("banner", testing.facts()), "on")
        self.now += 1.0
        self.assertEqual(source.value("banner", testing.facts()), "off")
        for text in ("banner: [", "banner: {percent: {a: 70, b: 40}}", "- list"):
            self.path.write_text(text)
            self.now += 1.0
            self.assertEqual(source.value("banner", testing.facts()), "off")
        self.path.unlink()
        self.now += 1.0
        self.assertEqual(source.value("banner", testing.facts()), "off")
        self.path.write_text("")
        self.now += 1.0
        self.assertIsNone(source.value("banner", testing.facts()))

    def test_as_a_plug_in(self) -> None:
        """By its settings; a file that is not there is an error."""
        self.path.write_text("banner: 'on'\n")
        made = testing.make(balancer_flags_file, "flags", "file", str(self.path.absolute()))
        self.assertEqual(made.value("banner", testing.facts()), "on")
        self.assertRaises(ValueError, testing.make, balancer_flags_file, "flags", "file", "/nowhere/flags.yaml")
