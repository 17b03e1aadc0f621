"""Tests of how the built-in matchers are registered."""

from __future__ import annotations

import pluggy
from twisted.trial import unittest
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IFactory
from balancer.hooks.spec import Hooks
from balancer.routing.matchers import builtins


class BuiltinsTests(unittest.TestCase):
    """The same hook as for plug-ins."""

    def test_registered(self) -> None:
        """The hook returns factories by these names."""
        plugins = pluggy.PluginManager("balancer")
        plugins.add_hookspecs(Hooks)
        plugins.register(builtins)
        plugins.check_pending()
        (factories,) = plugins.hook.balancer_matchers()
        self.assertEqual(
            [each.name for each in factories],
            [
                "accepts",
                "body",
                "cel",
                "client_certificate",
                "grpc",
                "http_version",
                "language",
                "local_port",
                "percent",
                "sni",
                "time",
                "tls_version",
                "user_agent",
            ],
        )
        for each in factories:
            verifyObject(IFactory, each)
