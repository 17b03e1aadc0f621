"""Tests of the registration of the built-in algorithms."""

from __future__ import annotations

import pluggy
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IAlgorithm, IFactory
from balancer.hooks.spec import Hooks
from balancer.pools.algorithms import builtins

NAMES = "ewma ip_hash least_conn maglev p2c random rendezvous ring_hash round_robin"


class BuiltinsTests(TestCase):
    """They come through the same hook as a plug-in's."""

    def test_all(self) -> None:
        """Every algorithm can be built from its default settings."""
        hooks = pluggy.PluginManager("balancer")
        hooks.add_hookspecs(Hooks)
        hooks.register(builtins)
        [factories] = hooks.hook.balancer_algorithms()
        self.assertEqual(" ".join(sorted(factory.name for factory in factories)), NAMES)
        for factory in factories:
            verifyObject(IFactory, factory)
            verifyObject(IAlgorithm, factory.build(factory.settings()))

    def test_settings_are_described(self) -> None:
        """Each setting says what it is."""
        for factory in builtins.balancer_algorithms():
            for name, field in factory.settings.model_fields.items():
                self.assertTrue(field.description, f"{factory.name}.{name}")
