"""Tests for :mod:`balancer.config.paths`."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.loading import load_text
from balancer.config.paths import missing_paths
from balancer.service.build import registry_for

_TEXT = """\
access_log: {path: there/access.log}
listeners:
  web:
    bind: ["127.0.0.1:80", "unix:there/web.sock:mode=600"]
    routes:
      - {match: {path: /a/**}, resource: {static: {directory: there}}}
      - {match: {path: /b/**}, resource: {static: there}}
      - {respond: 404}
"""


class MissingPathTests(SynchronousTestCase):
    def test_places(self) -> None:
        """Each path that leads nowhere is named where it stands; none of those that lead somewhere."""
        folder = os.path.abspath(self.mktemp())  # noqa: PTH100
        os.makedirs(folder)
        text = _TEXT.replace("unix:there", f"unix:{folder}/there")
        config = load_text(text, registry_for(installed=False), {}, file="b.yaml", directory=folder).config
        found = list(missing_paths(config))
        self.assertEqual(
            [(each.line, each.path) for each in found],
            [
                (1, "access_log.path"),
                (4, "listeners.web.bind[1]"),
                (6, "listeners.web.routes[0].resource.static.directory"),
                (7, "listeners.web.routes[1].resource.static"),
            ],
        )
        for each in found:
            self.assertIn(f"{folder}/there", each.message)
        os.mkdir(f"{folder}/there")
        self.assertEqual(list(missing_paths(config)), [])
