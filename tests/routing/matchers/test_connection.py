"""Tests of conditions on how the request came in."""

from __future__ import annotations

from pydantic import ValidationError
from twisted.trial import unittest
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IMatcher
from balancer.routing.matchers.connection import HTTP_VERSION, LOCAL_PORT
from tests.routing.making import facts


class ConnectionTests(unittest.TestCase):
    """Our port, the HTTP version."""

    def test_local_port(self) -> None:
        """One port or several."""
        matcher = LOCAL_PORT.build(LOCAL_PORT.settings.model_validate({LOCAL_PORT.bare: [8080, 81]}))
        verifyObject(IMatcher, matcher)
        self.assertTrue(matcher.matches(facts()))
        self.assertEqual(matcher.describe(), "local port is 8080 or 81")
        self.assertFalse(LOCAL_PORT.build(LOCAL_PORT.settings.model_validate({"ports": 81})).matches(facts()))
        for bad in ([], 0, 70000, "x"):
            self.assertRaises(ValidationError, LOCAL_PORT.settings.model_validate, {"ports": bad})

    def test_http_version(self) -> None:
        """1.0 or 1.1."""
        matcher = HTTP_VERSION.build(HTTP_VERSION.settings.model_validate({HTTP_VERSION.bare: "1.0"}))
        verifyObject(IMatcher, matcher)
        self.assertTrue(matcher.matches(facts(version="1.0")))
        self.assertFalse(matcher.matches(facts()))
        self.assertEqual(matcher.describe(), "HTTP version is 1.0")
        self.assertRaises(ValidationError, HTTP_VERSION.settings.model_validate, {"version": "3"})
