"""Tests for :mod:`balancer.service.build`."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.loading import load_text
from balancer.errors import ConfigurationError
from balancer.hooks import hookimpl
from balancer.hooks.interfaces import Factory
from balancer.observe.formats import Json
from balancer.service.build import built, loaded
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

    def test_unknown_names(self) -> None:
        """Each name in a filter that the path does not capture is a problem where it stands."""
        text = """\
listeners:
  web:
    bind: 127.0.0.1:80
    routes:
      - match: {path: '/users/{id}'}
        filters:
          - headers:
              request:
                set: {X-User: "{id}", X-Team: "a {team}"}
          - headers: {response: {add: {X-Place: "{place}"}}}
        pool: web
pools: {web: {servers: ['127.0.0.1:81']}}
"""
        error = self.assertRaises(ConfigurationError, _build, text)
        filters = "listeners.web.routes[0].filters"
        self.assertEqual(
            [str(problem) for problem in error.problems],
            [
                f"b.yaml:9:47: {filters}[0].headers.request.set.X-Team: unknown name {{team}} in a filter; the path captures id",
                f"b.yaml:10:49: {filters}[1].headers.response.add.X-Place: unknown name {{place}} in a filter; the path captures id",
            ],
        )

    def test_all_at_once(self) -> None:
        """What only building shows is reported with what the schema refuses, each at its place, nothing twice."""
        folder = self.mktemp()
        os.makedirs(folder)
        file = Path(folder, "b.yaml")
        file.write_text(
            """\
listenrs: {}
listeners:
  web:
    bind: nowhere
    routes:
      - {match: {path: no}, filters: [{headers: {request: {set: {X: "{id}"}}}}], pool: web}
      - {match: {path: /b}, redirect: nowhere}
      - {match: {path: /c}, pool: wob}
      - {match: {path: /d}, filters: [{headers: {request: {set: {X: "{id}"}}}}, {heders: {}}], pool: web}
      - {match: {path: /e}}
      - {match: {path: /f}, resource: {wsgi: {application: no_such_module:x}}}
      - {match: {path: /g}, respond: {status: 204, body: x}, weight: 1}
pools:
  web: {servers: ['127.0.0.1:81', '127.0.0.1:81'], algorithm: {maglev: {size: 100}}}
"""
        )
        error = self.assertRaises(ConfigurationError, loaded, file)
        self.assertEqual(
            [(problem.line, problem.column) for problem in error.problems],
            [
                (1, 1),
                (4, 11),
                (6, 24),
                (7, 39),
                (8, 35),
                (9, 69),
                (9, 82),
                (10, 9),
                (11, 29),
                (12, 29),
                (12, 62),
                (14, 35),
                (14, 73),
            ],
            str(error),
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
