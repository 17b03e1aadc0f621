"""Tests of how the built-in filters are registered."""

from __future__ import annotations

import pluggy
from twisted.trial import unittest
from zope.interface.verify import verifyObject

from balancer.filters import builtins
from balancer.hooks.interfaces import IFactory
from balancer.hooks.spec import Hooks


class BuiltinsTests(unittest.TestCase):
    """The same hook as for plug-ins."""

    def test_registered(self) -> None:
        """The hook returns factories, the headers filter among them."""
        plugins = pluggy.PluginManager("balancer")
        plugins.add_hookspecs(Hooks)
        plugins.register(builtins)
        plugins.check_pending()
        (factories,) = plugins.hook.balancer_filters()
        self.assertIn("headers", [each.name for each in factories])
        for each in factories:
            verifyObject(IFactory, each)
