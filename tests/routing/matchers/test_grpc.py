"""Tests of the matcher of gRPC's services and methods."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from twisted.trial import unittest
from zope.interface.verify import verifyObject

from balancer.hooks.interfaces import IMatcher
from balancer.routing.matchers.grpc import GRPC, GRPCMatcher
from tests.routing.making import facts


def matcher(**given: Any) -> GRPCMatcher:
    """One as it is configured."""
    made: GRPCMatcher = GRPC.build(GRPC.settings.model_validate(given))
    verifyObject(IMatcher, made)
    return made


def called(path: str, *, method: str = "POST", kind: str = "application/grpc") -> Any:
    return facts(path, method, headers=(("content-type", kind),))


class GRPCTests(unittest.TestCase):
    """Which calls match."""

    def test_service(self) -> None:
        """The bare form is a service."""
        self.assertEqual(GRPC.bare, "service")
        made = matcher(service="shop.Cart")
        for path in ("/shop.Cart/Add", "/shop.Cart/Remove"):
            self.assertTrue(made.matches(called(path, kind="application/grpc+proto")), path)
        for path in ("/shop.Carts/Add", "/shop.Cart", "/", "/x/shop.Cart/Add"):
            self.assertFalse(made.matches(called(path)), path)
        self.assertEqual(made.describe(), "gRPC service is 'shop.Cart'")

    def test_method(self) -> None:
        """Both can be any condition on a string."""
        made = matcher(service={"prefix": "shop."}, method={"regex": "^Get"})
        self.assertTrue(made.matches(called("/shop.Cart/GetAll")))
        self.assertFalse(made.matches(called("/shop.Cart/Add")))
        self.assertFalse(made.matches(called("/bank.Cart/GetAll")))
        self.assertEqual(made.describe(), "gRPC service: prefix 'shop.', method: regex '^Get'")

    def test_any(self) -> None:
        """Without settings it is every call, of gRPC-Web too, and nothing else."""
        made = matcher()
        self.assertTrue(made.matches(called("/a.B/C")))
        self.assertFalse(made.matches(called("/a.B/C", method="GET")))
        for kind in ("application/grpc-web", "application/grpc-web-text+proto"):
            self.assertTrue(made.matches(called("/a.B/C", kind=kind)), kind)
        self.assertFalse(made.matches(called("/a.B/C", kind="application/grpc-webs")))
        self.assertFalse(made.matches(facts("/a.B/C", "POST")))
        self.assertEqual(made.describe(), "a call of gRPC")

    def test_refused(self) -> None:
        """What is not known is an error."""
        self.assertRaises(ValidationError, GRPC.settings.model_validate, {"servise": "a"})
