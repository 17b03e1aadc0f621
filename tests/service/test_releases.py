"""Tests of weights that change while splits are in use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial import unittest

from balancer.errors import BalancerError
from balancer.observe.metrics import Metrics
from balancer.service.releases import Releases, Releasing, splits_of, take_splits
from balancer.service.snapshot import Snapshot
from tests.service.making import built_in
from tests.service.test_tallies import record

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


class _TestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.releases = Releases(self.clock)
        self.addCleanup(self.releases.stop)
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


class ReleasesTests(_TestCase):
    """Weights that an operator changes."""

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
        successor, snapshot = Releases(Clock()), self.built("{blue: 90, green: 10}")
        successor.inherit(json.loads(json.dumps(self.releases.left())))
        successor.use(snapshot)
        self.assertEqual(self.weights(snapshot), {"blue": 0, "green": 100})


_CANARY = (
    "{weights: {blue: 90, green: 10}, canary: {pool: green, steps: [10, 100], interval: 60s, abort: {minimum: 5}}}"
)


class CanaryTests(_TestCase):
    """Weights that a canary changes."""

    def setUp(self) -> None:
        super().setUp()
        self.told = 0
        self.metrics = Metrics()
        self.releases.watching.gather = self.metrics.collect

        def tell() -> None:
            self.told += 1

        self.releases.tell = tell
        self.use(_CANARY)

    def serve(self, count: int, status: int = 200) -> None:
        for _ in range(count):
            self.metrics.exchange(record("green", status, 0.01))

    def note(self) -> str:
        return str(self.releases.report()[0]["note"])

    def minutes(self, count: int) -> None:
        self.clock.pump([5.0] * 12 * count)

    def test_promotion(self) -> None:
        """By what was served in the step; everybody is told."""
        self.assertEqual((self.weights(), self.note()), ({"blue": 90, "green": 10}, "canary at 10 %"))
        self.minutes(2)
        self.assertEqual(self.told, 0)
        self.serve(5)
        self.minutes(1)
        self.assertEqual((self.weights(), self.told), ({"blue": 0, "green": 100}, 1))
        self.serve(5)
        self.minutes(2)
        self.assertEqual((self.note(), self.releases.report()[0]["canary"]["state"]), ("canary done at 100 %", "done"))

    def test_roll_back(self) -> None:
        """At the next look."""
        self.clock.advance(5.0)
        self.serve(6, 503)
        self.clock.advance(5.0)
        self.assertEqual((self.weights(), self.note(), self.told), ({"blue": 100, "green": 0}, "canary rolled back", 1))
        self.assertEqual(
            self.releases.report()[0]["canary"]["reason"],
            "100 % errors, more than 2 %, of 6 requests at 10 %",
        )
        self.minutes(5)
        self.assertEqual(self.told, 1)

    def test_reload_keeps_it(self) -> None:
        """While the definition is the same; another one begins anew, and none at all leaves the file's weights."""
        self.clock.advance(5.0)
        self.serve(6, 503)
        self.clock.advance(5.0)
        self.use(_CANARY)
        self.assertEqual((self.weights(), self.note()), ({"blue": 100, "green": 0}, "canary rolled back"))
        self.use(_CANARY.replace("[10, 100]", "[20, 100]"))
        self.assertEqual(self.weights(), {"blue": 80, "green": 20})
        self.use("{blue: 90, green: 10}")
        self.assertEqual((self.weights(), self.note()), ({"blue": 90, "green": 10}, ""))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_operators(self) -> None:
        """What they say is done, and weights by hand only once the canary is not in charge."""
        self.assertRaises(BalancerError, self.releases.change, "web", "shop", {"switch": "green"})
        self.assertRaises(BalancerError, self.releases.obey, "web", "other", "pause")
        self.assertRaises(BalancerError, self.releases.obey, "web", "shop", "jump")
        now = _Service(self.releases).change_canary("web", "shop", "promote")
        self.assertEqual((now["shares"], now["canary"]["step"]), ({"blue": 0, "green": 100}, 2))
        self.releases.obey("web", "shop", "abort")
        self.releases.change("web", "shop", {"weights": {"blue": 1, "green": 1}})
        self.assertEqual(self.note(), "set by an operator")
        self.releases.obey("web", "shop", "restart")
        self.assertEqual((self.weights(), self.told), ({"blue": 90, "green": 10}, 4))

    def test_takes_over(self) -> None:
        """A process that takes over goes on at the same step."""
        self.releases.obey("web", "shop", "promote")
        successor, snapshot = Releases(self.clock), self.built(_CANARY)
        self.addCleanup(successor.stop)
        successor.inherit(json.loads(json.dumps(self.releases.left())))
        successor.use(snapshot)
        self.assertEqual(self.weights(snapshot), {"blue": 0, "green": 100})
        self.assertEqual(successor.report()[0]["canary"]["step"], 2)

    def test_metrics(self) -> None:
        """Percent, step and state."""
        found = {
            (each.name, each.labels.get("state", each.labels.get("pool", ""))): each.value
            for family in self.releases.metrics()
            for each in family.samples
            if each.labels["route"] == "shop"
        }
        self.assertEqual(found["balancer_canary_percent", ""], 10)
        self.assertEqual(found["balancer_canary_step", ""], 1)
        self.assertEqual(found["balancer_canary_state", "running"], 1)
        self.assertEqual(found["balancer_canary_state", "aborted"], 0)
        self.assertEqual(found["balancer_split_share", "green"], 0.1)
