"""Requests decided by two configurations: equal ones never differ, and what was changed is told."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.loading import load_text
from balancer.service.build import built
from balancer.service.replaying import Recorded, outcome
from balancer.service.snapshot import Snapshot
from balancer.testing import registry
from tests.fuzz import vocabulary

CONFIGURATIONS = 40
REQUESTS = 15


def _snapshot(written: dict[str, Any]) -> Snapshot:
    return built(load_text(json.dumps(written), registry(vocabulary.FLAGS), {}))


def _to_pool(routes: list[dict[str, Any]], also: Callable[[dict[str, Any]], None]) -> None:
    """Do something to every route that leads to servers."""
    for route in routes:
        if "pool" in route or "split" in route:
            also(route)


def _rewritten(route: dict[str, Any]) -> None:
    route["filters"] = [*route["filters"], {"rewrite": {"path": "/moved{path}"}}]


def _mirrored(route: dict[str, Any]) -> None:
    kept = [each for each in route["filters"] if "mirror" not in each]
    route["filters"] = kept if len(kept) < len(route["filters"]) else [*kept, {"mirror": "shadow"}]


def _asking(route: dict[str, Any]) -> None:
    route["subset"] = {"version": "v7"}


def _queueing(route: dict[str, Any]) -> None:
    route["queue"] = {"priority": 7}


_CHANGES = {"target": _rewritten, "copies": _mirrored, "subset": _asking, "queue.priority": _queueing}
"""Ways to change routes, and what is then said to be different."""


class ReplayTests(SynchronousTestCase):
    def test_what_differs(self) -> None:
        """By the same configuration nothing does; a change is told of the requests that it is about, and of no others."""
        told = dict.fromkeys(_CHANGES, 0)
        for number in range(CONFIGURATIONS):
            draw = random.Random(f"replay {number}")
            written = vocabulary.configuration(draw)
            old, same = _snapshot(written), _snapshot(written)
            name = draw.choice(sorted(_CHANGES))
            other = copy.deepcopy(written)
            _to_pool(other["listeners"]["web"]["routes"], _CHANGES[name])
            new = _snapshot(other)
            for at in range(REQUESTS):
                request = Recorded(vocabulary.request(draw, []), f"{number} {at}")
                what = (number, at, name, request)
                before, after = outcome(old, request), outcome(new, request)
                self.assertEqual(before.differences(outcome(same, request)), (), what)
                if before.pool is None and after.pool is None:
                    self.assertEqual(before.differences(after), (), what)
                elif before.request and after.request and name in ("target", "copies"):
                    differences = before.differences(after)
                    if request.sample.url != "*" and name == "target":
                        self.assertTrue(any(each.startswith("target: ") for each in differences), (what, differences))
                    told[name] += bool(differences)
                else:
                    told[name] += any(each.startswith(f"{name}: ") for each in before.differences(after))
        self.assertTrue(all(told.values()), told)
