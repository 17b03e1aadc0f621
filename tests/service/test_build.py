"""Tests for :mod:`balancer.service.build`."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.loading import load_text
from balancer.errors import ConfigurationError
from balancer.hooks import hookimpl
from balancer.hooks.interfaces import Factory
from balancer.observe.formats import Json
from balancer.service.build import built
from balancer.service.snapshot import Snapshot
from balancer.testing import registry

_TEXT = """\
access_log: {format: broken}
listeners:
  web:
    bind: 127.0.0.1:80
    protocol: http
    filters: [headers, broken]
    routes:
      - match: {any: [{path: /a}, {not: {broken: {}}}]}
        filters:
          - broken
        resource: broken
      - pool: web
pools:
  web:
    algorithm: broken
    servers: [127.0.0.1:81]
    health: {probe: broken}
"""
_KINDS = ("algorithms", "matchers", "filters", "probes", "resources", "access_log_formats")


def _broken(settings: Any) -> Any:
    raise OSError("no such file")


def _package() -> ModuleType:
    """Return a module that offers something called ``broken`` of each kind, whose factories raise."""
    module = ModuleType("package")
    for kind in _KINDS:
        setattr(module, f"balancer_{kind}", hookimpl(lambda: [Factory("broken", _broken)]))
    return module


def _build(text: str) -> Snapshot:
    return built(load_text(text, registry(_package()), {}, file="b.yaml"))


class BuiltTests(SynchronousTestCase):
    def test_factories_that_raise(self) -> None:
        """What plug-ins' factories raise are problems at the places that use them, all found at once."""
        error = self.assertRaises(ConfigurationError, _build, _TEXT)
        self.assertEqual(
            sorted((problem.line, problem.column, problem.path) for problem in error.problems),
            [
                (1, 22, "access_log.format"),
                (6, 24, "listeners.web.filters[1]"),
                (8, 42, "listeners.web.routes[0].match.any[1].not.broken"),
                (10, 13, "listeners.web.routes[0].filters[0]"),
                (11, 19, "listeners.web.routes[0].resource"),
                (15, 16, "pools.web.algorithm"),
                (17, 21, "pools.web.health.probe"),
            ],
        )
        self.assertIn(
            "package: the access log format 'broken' cannot be made: OSError: no such file", str(error.problems[0])
        )

    def test_actions(self) -> None:
        """Answers that cannot be given are problems at the action, not somewhere in the route."""
        text = """\
listeners:
  web:
    bind: 127.0.0.1:80
    routes:
      - match: {path: /a}
        redirect:
          to: javascript:x
      - match: {path: /b}
        redirect: nowhere
      - match: {path: /c}
        redirect:
          host: a b
      - match: {path: /d}
        respond: {status: 204, body: x}
      - match: {path: /e}
        respond: {body: "\\ud800"}
"""
        error = self.assertRaises(ConfigurationError, _build, text)
        self.assertEqual(
            [(problem.line, problem.column, problem.path) for problem in error.problems],
            [
                (7, 15, "listeners.web.routes[0].redirect.to"),
                (9, 19, "listeners.web.routes[1].redirect"),
                (11, 9, "listeners.web.routes[2].redirect"),
                (14, 9, "listeners.web.routes[3].respond"),
                (16, 9, "listeners.web.routes[4].respond"),
            ],
        )
        self.assertIn("expected text", error.problems[-1].message)

    def test_log_format(self) -> None:
        """The snapshot brings the format of its access log, none where there is no log."""
        text = (
            "listeners: {web: {bind: '127.0.0.1:80', protocol: http, routes: [{respond: {status: 204}}]}}\npools: {}\n"
        )
        self.assertIsInstance(_build(text).log_format, Json)
        self.assertIsNone(_build("access_log: false\n" + text).log_format)
