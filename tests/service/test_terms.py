"""Tests for :mod:`balancer.service.terms`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.loading import load_text
from balancer.pools.terms import Terms
from balancer.service.build import built, registry_for

_TEXT = """\
listeners:
  web:
    bind: 127.0.0.1:80
    protocol: http
    routes: [{name: it, pool: web, %s}]
pools: {web: {servers: ['127.0.0.1:81'], %s}}
"""


class TermsTests(SynchronousTestCase):
    def terms(self, route: str, pool: str = "") -> tuple[Terms, Any]:
        """The terms of the route, and its pool."""
        snapshot = built(load_text(_TEXT % (route, pool), registry_for(installed=False)))
        site: Any = snapshot.listeners["web"]
        self.leaf = site.table.routes[0].leaf
        return self.leaf.terms("web"), snapshot.pools["web"]

    def test_the_pools(self) -> None:
        """A route without terms of its own has those of its pool, one and the same."""
        terms, pool = self.terms("", "timeouts: {idle: 5s}, retry: {attempts: 3, methods: [POST]}")
        self.assertIs(terms, pool.terms)
        self.assertEqual((terms.timeouts.idle, terms.timeouts.write), (5.0, 30.0))
        self.assertEqual((terms.retry.settings.attempts, terms.retry.settings.methods), (3, frozenset({"POST"})))
        self.assertEqual(dict(terms.said), dict.fromkeys(("timeouts.idle", "retry.attempts", "retry.methods"), "pool"))

    def test_merged(self) -> None:
        """What a route says goes before the pool, key by key; the budget stays the pool's."""
        terms, pool = self.terms(
            "timeouts: {idle: 1s, request: 2s}, retry: {on: [500], backoff: true}",
            "timeouts: {idle: 5s, write: 6s}, retry: {attempts: 3}",
        )
        timeouts = terms.timeouts
        self.assertEqual((timeouts.idle, timeouts.write, timeouts.request), (1.0, 6.0, 2.0))
        settings = terms.retry.settings
        self.assertEqual((settings.attempts, settings.on, settings.backoff), (3, (500,), 0.025))
        self.assertIs(terms.retry.budget, pool.retry.budget)
        found = terms.describe()
        self.assertEqual(
            [found[name]["from"] for name in ("timeouts.idle", "timeouts.write", "retry.on", "retry.attempts")],
            ["route", "pool", "route", "pool"],
        )

    def test_hedge(self) -> None:
        """A route's hedge stands instead of its pool's; false switches it off."""
        terms, pool = self.terms("", "hedge: true")
        self.assertIs(terms.hedge, pool.terms.hedge)
        terms, _ = self.terms("hedge: {after: 200ms}", "hedge: true")
        assert terms.hedge is not None
        self.assertEqual(terms.describe()["hedge.after"], {"value": 0.2, "from": "route"})
        terms, _ = self.terms("hedge: false", "hedge: true")
        self.assertIsNone(terms.hedge)

    def test_shared(self) -> None:
        """A route whose requests share answers says so, and of which it is not so."""
        self.terms("coalesce: {headers: [X-A]}")
        self.assertEqual(self.leaf.shares("GET", [(b"Accept", b"a")]), "with requests that are alike")
        self.assertEqual(self.leaf.shares("POST", []), "no: the method is POST")
        self.terms("")
        self.assertIsNone(self.leaf.shares("GET", []))

    def test_off(self) -> None:
        """A route may switch retries, and a limit of its pool, off."""
        terms, _ = self.terms("timeouts: {request: 0s}, retry: false", "timeouts: {request: 5s}")
        self.assertEqual((terms.timeouts.request, terms.retry.settings.attempts, terms.limited), (0.0, 0, False))
