"""What the Kubernetes Gateway API wants of mirrors (HTTPRouteRequestMirror, …MultipleMirrors, …PercentageMirror), in memory."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

from balancer.config.loading import load_text
from balancer.listeners.http.site import Site
from balancer.service.build import built, registry_for
from tests.forwarding.mirroring.test_mirrors import OK, MirrorTestCase

_ROUTES = """\
listeners:
  web:
    bind: 127.0.0.1:1
    routes:
      - {name: mirror, match: {path: /mirror}, filters: [{mirror: v2}], pool: v1}
      - name: mirror-and-modify-headers
        match: {path: /mirror-and-modify-headers}
        filters:
          - headers: {request: {set: {X-Header-Set: set-overwrites-values}, add: {X-Header-Add: header-val-1}, remove: [X-Header-Remove]}}
          - mirror: v2
        pool: v1
      - {name: multi-mirror, match: {path: /multi-mirror}, filters: [{mirror: v2}, {mirror: v3}], pool: v1}
      - name: multi-mirror-and-modify-request-headers
        match: {path: /multi-mirror-and-modify-request-headers}
        filters:
          - headers: {request: {set: {X-Header-Set: set-overwrites-values}, remove: [X-Header-Remove]}}
          - mirror: [v2, v3]
        pool: v1
      - {name: percent-mirror, match: {path: /percent-mirror}, filters: [{mirror: {pool: v2, percent: 20}}], pool: v1}
      - name: percent-mirror-fraction      # 1 of 2, and 25 of 100
        match: {path: /percent-mirror-fraction}
        filters: [{mirror: [{pool: v2, percent: 50}, {pool: v3, percent: 25}]}]
        pool: v1
pools:
  v1: {servers: ["127.0.0.1:2"], passive: false}
  v2: {servers: ["127.0.0.1:3"], passive: false}
  v3: {servers: ["127.0.0.1:4"], passive: false}
"""
_PORTS = {"v1": 2, "v2": 3, "v3": 4}


class GatewayMirrorTests(MirrorTestCase):
    def site(self, listener: str = "", change: Any = None) -> Site:
        super().site("pool: web")
        self.mirrored.draw = random.Random(7).random
        self.snapshot = built(load_text(_ROUTES, registry_for(installed=False)), self.runtime)
        site: Any = self.snapshot.listeners["web"]
        return replace(site, now=self.clock.seconds)

    def ask(self, path: bytes, *headers: tuple[bytes, bytes]) -> dict[str, bytes]:
        """Ask once; return what each pool was sent."""
        stream = self.peer.ask(path, b"GET", *headers)
        self.turn()
        sent = {name: self.sent(port) for name, port in _PORTS.items()}
        for name, port in _PORTS.items():
            if sent[name] and name != "v1":
                next(each for each in self.of(port) if each.owner is not None).dataReceived(OK)
        self.serve(self.peer)
        self.assertEqual((self.peer.status(stream), self.peer.body(stream)), (b"200", b"ok"))
        return {name: data for name, data in sent.items() if data}

    def setUp(self) -> None:
        self.listen()
        self.peer = self.client()

    def test_mirror(self) -> None:
        """The answer is that of the route's pool, the mirror gets a copy."""
        found = self.ask(b"/mirror")
        self.assertEqual(set(found), {"v1", "v2"})
        self.assertTrue(all(data.startswith(b"GET /mirror HTTP/1.1\r\n") for data in found.values()))

    def test_several(self) -> None:
        """Several mirrors get a copy each."""
        self.assertEqual(set(self.ask(b"/multi-mirror")), {"v1", "v2", "v3"})

    def test_modified(self) -> None:
        """Copies have the headers as they were changed."""
        for path in (b"/mirror-and-modify-headers", b"/multi-mirror-and-modify-request-headers"):
            found = self.ask(path, (b"x-header-set", b"some-other-value"), (b"x-header-remove", b"1"))
            self.assertGreater(len(found), 1)
            for data in found.values():
                self.assertIn(b"set-overwrites-values", data)
                self.assertNotIn(b"some-other-value", data)
                self.assertNotIn(b"x-header-remove", data.lower())
            if path == b"/mirror-and-modify-headers":
                self.assertTrue(all(b"X-Header-Add: header-val-1\r\n" in data for data in found.values()))

    def test_percent(self) -> None:
        """Shares are as large as they say."""
        for path, shares in (
            (b"/percent-mirror", {"v2": 0.2, "v3": 0.0}),
            (b"/percent-mirror-fraction", {"v2": 0.5, "v3": 0.25}),
        ):
            counts: Counter[str] = Counter()
            for _ in range(1000):
                counts.update(list(self.ask(path)))
            self.assertEqual(counts["v1"], 1000)
            for name, share in shares.items():
                self.assertLess(abs(counts[name] / 1000 - share), 0.05, (path, name))
