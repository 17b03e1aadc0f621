"""Tests of the registration of the built-in probes."""

from __future__ import annotations

import pluggy
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IFactory, IProbe
from balancer.hooks.spec import Hooks
from balancer.pools.probes import builtins


class BuiltinsTests(TestCase):
    """They come through the same hook as a plug-in's."""

    def test_all(self) -> None:
        """Every probe can be built."""
        hooks = pluggy.PluginManager("balancer")
        hooks.add_hookspecs(Hooks)
        hooks.register(builtins)
        [factories] = hooks.hook.balancer_probes()
        self.assertEqual([factory.name for factory in factories], ["grpc", "http", "send_expect", "tcp"])
        for factory in factories:
            verifyObject(IFactory, factory)
            given = {"expect": "+PONG"} if factory.name == "send_expect" else {}
            verifyObject(IProbe, factory.build(factory.settings.model_validate(given)))

    def test_settings_are_described(self) -> None:
        """Each setting says what it is, and has a JSON Schema."""
        for factory in builtins.balancer_probes():
            factory.settings.model_json_schema()
            for name, field in factory.settings.model_fields.items():
                self.assertTrue(field.description, f"{factory.name}.{name}")
