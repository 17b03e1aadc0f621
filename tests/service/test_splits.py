"""Tests of splits as configurations make them: what decides, what clients are told, what explain says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

from twisted.trial import unittest

from balancer.config.lint import lint
from balancer.service.explaining import Explanation, Sample, explain
from balancer.service.routing_tests import run_tests
from balancer.service.snapshot import Snapshot
from tests.service.making import built_in

_TEXT = """\
%s
listeners:
  web:
    bind: 127.0.0.1:8080
    routes:
      - name: shop
        split:
          weights: {blue: 97.5, green: 2.5}
          sticky: cookie
          key: {cookie: uid}
          override: {header: X-Version, cookie: version, only: 10.0.0.0/8}
pools:
  blue: {servers: ["127.0.0.1:1"]}
  green: {servers: ["127.0.0.1:2"]}
tests:
  - {name: wrong, request: {url: /, headers: {X-Version: green}, client_ip: 10.1.1.1}, expect: {pool: blue}}
"""


class SplitTests(unittest.TestCase):
    def built(self, top: str = "secret: sesame-open-0123456789") -> Snapshot:
        folder = Path(self.mktemp())
        folder.mkdir()
        return built_in(folder, _TEXT % top)

    def asked(self, snapshot: Snapshot, client: str = "192.0.2.1", seed: int = 0, **headers: str) -> Explanation:
        pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
        return explain(snapshot, Sample("/", headers=pairs, client_ip=client), Random(seed).random)

    def test_why(self) -> None:
        """Explain says what a side was taken for."""
        snapshot = self.built()
        for headers, client, because in (
            ({"X_Version": "green"}, "10.1.1.1", "overridden by header x-version"),
            ({"X_Version": "green"}, "192.0.2.1", "by chance, without cookie:uid"),
            ({"Cookie": "version=blue"}, "10.1.1.1", "overridden by cookie version"),
            ({"Cookie": "uid=7"}, "192.0.2.1", "by key cookie:uid"),
        ):
            found = self.asked(snapshot, client, **headers)
            assert found.split is not None
            self.assertEqual(found.split["because"], because)
            self.assertEqual(found.split["shares"], {"blue": 97.5, "green": 2.5})
            if client == "10.1.1.1":
                self.assertIn(found.pool, because + str(headers))

    def test_fractions(self) -> None:
        """Two and a half per cent of 10^5 draws."""
        route = self.built().listeners["web"].table.routes[0]  # type: ignore[union-attr]
        assert route.split is not None
        share = Counter(route.split.sticky(b"user-%d" % at) for at in range(100_000))["green"] / 100_000
        self.assertApproximates(share, 0.025, 0.002)

    def test_restarts_and_nodes(self) -> None:
        """With a secret, another build of the same file understands the cookies; without one, it does not."""
        for top, same in (("secret: sesame-open-0123456789", True), ("workers: 1", False)):
            one, other = self.built(top), self.built(top)
            fields = []
            for snapshot in (one, other):
                route = snapshot.listeners["web"].table.routes[0]  # type: ignore[union-attr]
                assert route.split is not None
                assert route.split.side is not None
                fields.append(route.split.side._tokens)
            self.assertEqual(fields[0] == fields[1], same)

    def test_tests_say_why(self) -> None:
        """A routing test that fails names what the side was taken for."""
        (result,) = run_tests(self.built()).results
        self.assertEqual(result.differences, ("pool: expected 'blue', got 'green' (overridden by header x-version)",))

    def test_lint(self) -> None:
        """Cookies that nobody else can read."""
        codes = [problem.code for problem in lint(self.built("workers: 1").config)]
        self.assertIn("sticky-without-secret", codes)
        self.assertNotIn("sticky-without-secret", [problem.code for problem in lint(self.built().config)])
