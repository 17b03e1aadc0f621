"""Tests for :mod:`balancer.config.shapes`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.listeners import HttpListener, TcpListener, UdpListener
from balancer.config.pools import Server
from balancer.config.schema import Config
from balancer.config.shapes import Shapes, known_keys
from balancer.hooks.plugged import Pluggable
from balancer.hooks.settings import StringMatch
from tests.config.samples import CountrySettings, P2cSettings, RuleSettings, Samples


class ShapesTests(SynchronousTestCase):
    """What may stand where."""

    def setUp(self) -> None:
        self.shapes = Shapes(Config, Samples())

    def test_followed(self) -> None:
        """Keys and indexes lead through sections, lists, mappings and the settings of plug-ins."""
        for loc, shape in [
            (("pools", "any", "servers", 3), Server),
            (("pools", "any", "algorithm"), Pluggable("algorithms")),
            (("pools", "any", "algorithm", "p2c"), P2cSettings),
            (("listeners", "x", "routes", 0, "match", "headers", "A"), StringMatch),
            (("listeners", "x", "routes", 0, "match", "not", "any", 1, "geoip"), CountrySettings),
            (("listeners", "x", "filters", 0, "waf", "checks", 0, "rules"), RuleSettings),
        ]:
            with self.subTest(loc):
                self.assertEqual(set(self.shapes.at(loc)), {shape})
        self.assertEqual(self.shapes.at(("pools", "any", "nothing", "here")), [])

    def test_protocols(self) -> None:
        """A listener is followed as its protocol says, as any where that is unknown."""
        data = {"listeners": {"a": {"protocol": "tcp"}, "b": {}, "c": {"protocol": "x"}}}
        for name, models in [
            ("a", {TcpListener}),
            ("b", {HttpListener}),
            ("c", {HttpListener, TcpListener, UdpListener}),
        ]:
            keys = set(self.shapes.known_keys(("listeners", name), data))
            self.assertEqual(keys, {key for model in models for key in known_keys(model)})

    def test_known_keys(self) -> None:
        """A match knows the plug-ins' matchers, and ``not`` by its alias."""
        keys = self.shapes.known_keys(("listeners", "x", "routes", 0, "match"))
        self.assertIn("geoip", keys)
        self.assertIn("not", keys)
        self.assertNotIn("not_", keys)
        self.assertFalse([key for key in keys if "(" in key])

    def test_homes(self) -> None:
        """A misplaced key's home is the section that has it."""
        self.assertEqual(self.shapes.homes(("listeners", "x", "routes", 0), "host"), ["match", "redirect"])
        self.assertEqual(self.shapes.homes(("pools", "x"), "jitter"), ["health"])
        self.assertEqual(self.shapes.homes(("pools", "x"), "zzz"), [])
