"""Tests for :mod:`balancer.hooks.registry`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from zope.interface import implementer

from balancer.errors import PluginError
from balancer.hooks.interfaces import Factory, IAlgorithm, IFilter, IMatcher
from balancer.hooks.registry import Package, Registry
from balancer.hooks.settings import Settings


@implementer(IMatcher)
class _Matcher:
    def matches(self, facts: Any) -> bool:
        return True

    def describe(self) -> str:
        return "always"


@implementer(IMatcher)
class _Half:
    def matches(self) -> bool:
        return True

    def describe(self) -> str:
        return "always"


@implementer(IAlgorithm)
class _Algorithm:
    stable = False

    def __init__(self, key: Any) -> None:
        self.key = key

    def prepare(self, servers: Any) -> None: ...

    def candidates(self, choice: Any) -> Any: ...


@implementer(IFilter)
class _Filter:
    def __init__(self, body_limit: Any) -> None:
        self._body_limit = body_limit

    @property
    def body_limit(self) -> Any:
        if isinstance(self._body_limit, Exception):
            raise self._body_limit
        return self._body_limit

    def request(self, exchange: Any) -> None: ...

    def response(self, exchange: Any) -> None: ...

    def describe(self, exchange: Any) -> str:
        return "nothing"


class RegistryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.registry = Registry()

    def offer(self, kind: str, build: Callable[[Any], Any], *, builtin: bool = False) -> None:
        self.registry.add(Package("its-package", "1.0", builtin), {kind: {"it": Factory("it", build)}})

    def build(self, kind: str, build: Callable[[Any], Any]) -> Any:
        self.registry = Registry()
        self.offer(kind, build)
        return self.registry.build(kind, "it", Settings())

    def refused(self, kind: str, build: Callable[[Any], Any]) -> str:
        return str(self.assertRaises(PluginError, self.build, kind, build))

    def test_builtin(self) -> None:
        """What is built in is handed out bare, and has no account."""
        self.offer("matchers", lambda _: _Matcher(), builtin=True)
        self.assertIsInstance(self.registry.build("matchers", "it", Settings()), _Matcher)
        self.assertEqual(self.registry.accounts(), ())

    def test_guarded(self) -> None:
        """What a package makes is guarded; all that one factory makes has one account."""
        self.offer("matchers", lambda _: _Matcher())
        for _ in range(2):
            self.registry.build("matchers", "it", Settings()).matches(None)
        (account,) = self.registry.accounts()
        self.assertEqual((str(account), account.calls), ("its-package (matcher it)", 2))

    def test_resource(self) -> None:
        """A resource is handed out bare: a request that it breaks is answered with 500 as ever."""
        self.assertIsInstance(self.build("resources", lambda _: Resource()), Resource)
        self.assertEqual(self.registry.accounts(), ())

    def test_factory_raises(self) -> None:
        """A factory that raises is named; ValueError is its word on the settings, and passes as it is."""

        def build(_: Any) -> Any:
            raise SystemExit(3)

        self.assertEqual(self.refused("matchers", build), "its-package: the matcher 'it' cannot be made: SystemExit: 3")

        def unusable(_: Any) -> Any:
            raise ValueError("no such country")

        self.assertEqual(str(self.assertRaises(ValueError, self.build, "matchers", unusable)), "no such country")

    def test_breaks_its_interface(self) -> None:
        """What does not provide the interface of its kind, or has other arguments, is named."""
        for made in (None, 7, _Half(), Resource()):
            self.assertIn(
                "its-package: the matcher 'it' is not what it must be",
                self.refused("matchers", lambda _, made=made: made),
            )

    def test_attributes(self) -> None:
        """Attributes are looked at when it is built, not when it is first used."""
        for limit in (None, "many", -1, RuntimeError("x")):
            self.assertIn("attribute", self.refused("filters", lambda _, limit=limit: _Filter(limit)))
        self.assertIn("key must be", self.refused("algorithms", lambda _: _Algorithm("client_ip")))

    def test_taken(self) -> None:
        """A name that is taken leaves out all of the package."""
        self.offer("matchers", lambda _: _Matcher())
        second = Package("second")
        offers = {"filters": {"other": Factory("other", print)}, "matchers": {"it": Factory("it", print)}}
        error = self.assertRaises(PluginError, self.registry.add, second, offers)
        self.assertEqual(str(error), "the matcher 'it' is offered by its-package already")
        self.assertEqual((self.registry.factories("filters"), second.offers), ({}, {}))

    def test_report(self) -> None:
        """The report tells of packages that are loaded, failed and disabled."""
        self.offer("matchers", lambda _: _Matcher())
        self.registry.add_failed(Package("failed"), "why")
        self.registry.add_disabled(Package("disabled"))
        self.assertEqual(
            self.registry.report()[0],
            {
                "name": "its-package",
                "version": "1.0",
                "builtin": False,
                "error": "",
                "disabled": False,
                "offers": {"matchers": ["it"]},
            },
        )
        self.assertEqual(
            [(each["error"], each["disabled"]) for each in self.registry.report()[1:]], [("why", False), ("", True)]
        )
        self.assertEqual(repr(self.registry), "<Registry of 3 packages, 1 not loaded>")
