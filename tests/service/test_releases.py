"""Tests of weights that change while splits are in use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial import unittest

from balancer.errors import BalancerError
from balancer.service.releases import Releases, Releasing, splits_of, take_splits
from balancer.service.snapshot import Snapshot
from tests.service.making import built_in

_TEXT = """\
listeners:
  web:
    bind: 127.0.0.1:8080
    routes:
      - {name: shop, match: {path: /shop}, split: %s}
      - {name: other, split: {blue: 1, green: 1}}
pools: {blue: {servers: ["127.0.0.1:1"]}, green: {servers: ["127.0.0.1:2"]}, red: {servers: ["127.0.0.1:3"]}}
"""


class _Service(Releasing):
    def __init__(self, releases: Releases) -> None:
        self._found = releases

    def _releases(self) -> Releases:
        return self._found


class ReleasesTests(unittest.TestCase):
    def setUp(self) -> None:
        self.releases = Releases()
        self.use("{blue: 90, green: 10}")

    def built(self, split: str) -> Snapshot:
        folder = Path(self.mktemp())
        folder.mkdir()
        return built_in(folder, _TEXT % split)

    def use(self, split: str) -> None:
        self.snapshot = self.built(split)
        self.releases.use(self.snapshot)

    def weights(self, snapshot: Snapshot | None = None) -> dict[str, float]:
        return dict(splits_of(snapshot or self.snapshot))["web", "shop"].weights

    def test_change(self) -> None:
        """Weights that are given change, others stay; what it is now is returned, and told."""
        told: list[Any] = []
        self.releases.tell = lambda: told.append(self.releases.state())
        now = _Service(self.releases).change_split("web", "shop", {"weights": {"green": 30}})
        self.assertEqual(now["weights"], {"blue": 90, "green": 30})
        self.assertEqual(now["shares"], {"blue": 75, "green": 25})
        self.assertEqual((now["configured"], now["note"]), ({"blue": 90, "green": 10}, "set by an operator"))
        self.assertEqual(told[0][0], ["web", "shop", {"blue": 90, "green": 30}, "set by an operator"])
        self.releases.change("web", "shop", {"switch": "green"})
        self.assertEqual(self.weights(), {"blue": 0, "green": 100})
        self.assertEqual(self.releases.change("web", "shop", {"reset": True})["note"], "")
        self.assertEqual(self.weights(), {"blue": 90, "green": 10})

    def test_waits_for_those_who_are_told(self) -> None:
        """The answer comes when all know."""
        telling: Deferred[None] = Deferred()
        self.releases.tell = lambda: telling
        answer = self.releases.change("web", "shop", {"switch": "green"})
        self.assertNoResult(answer)
        telling.callback(None)
        self.assertEqual(self.successResultOf(answer)["weights"], {"blue": 0, "green": 100})

    def test_refused(self) -> None:
        """Nothing changes then."""
        for wanted in (
            None,
            {},
            {"weights": {}},
            {"weights": {"blue": True}},
            {"weights": {"blue": "1"}},
            {"weights": {"blue": float("nan")}},
            {"weights": {"blue": -1}},
            {"weights": {"red": 1}},
            {"weights": {"blue": 0, "green": 0}},
            {"switch": "red"},
            {"switch": 5},
            {"reset": False},
            {"reset": True, "switch": "blue"},
        ):
            self.assertRaises(BalancerError, self.releases.change, "web", "shop", wanted)
        error = self.assertRaises(BalancerError, self.releases.change, "web", "none", {"reset": True})
        self.assertIn("splits: web/shop, web/other", str(error))
        self.assertEqual(self.weights(), {"blue": 90, "green": 10})

    def test_reloads(self) -> None:
        """What was changed stays until the file's weights change, or its pools."""
        self.releases.change("web", "shop", {"switch": "green"})
        self.use("{weights: {blue: 90, green: 10}, key: client_ip}")
        self.assertEqual(self.weights(), {"blue": 0, "green": 100})
        self.use("{blue: 80, green: 20}")
        self.assertEqual((self.weights(), self.releases.report()[0]["note"]), ({"blue": 80, "green": 20}, ""))
        self.releases.change("web", "shop", {"switch": "green"})
        self.use("{blue: 80, red: 20}")
        self.assertEqual(self.weights(), {"blue": 80, "red": 20})

    def test_other_processes(self) -> None:
        """Workers share as they are told; one that takes over goes on as it was."""
        self.releases.change("web", "shop", {"switch": "green"})
        workers = self.built("{blue: 90, green: 10}")
        take_splits(workers, json.loads(json.dumps(self.releases.state())))
        self.assertEqual(self.weights(workers), {"blue": 0, "green": 100})
        different = self.built("{blue: 90, red: 10}")
        take_splits(different, self.releases.state())
        self.assertEqual(self.weights(different), {"blue": 90, "red": 10})
        successor, snapshot = Releases(), self.built("{blue: 90, green: 10}")
        successor.inherit(json.loads(json.dumps(self.releases.left())))
        successor.use(snapshot)
        self.assertEqual(self.weights(snapshot), {"blue": 0, "green": 100})
