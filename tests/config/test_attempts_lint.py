"""Tests for :mod:`balancer.config.attempts_lint`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.attempts_lint import pointless_attempts
from balancer.config.loading import load_text
from balancer.service.build import registry_for

_TEXT = """\
listeners:
  web:
    bind: 127.0.0.1:80
    protocol: http
    routes: [{pool: web%s}]
pools: {web: {servers: ['127.0.0.1:81', '127.0.0.1:82']%s}, one: {servers: ['127.0.0.1:81'], hedge: true}}
"""


class AttemptsLintTests(SynchronousTestCase):
    def found(self, route: str = "", pool: str = "") -> list[tuple[str, str]]:
        config = load_text(_TEXT % (route and f", {route}", pool and f", {pool}"), registry_for(installed=False)).config
        return [(each.path, each.code) for each in pointless_attempts(config) if "one" not in each.path]

    def test_nothing(self) -> None:
        """What has an effect is not spoken of."""
        self.assertEqual(self.found("timeouts: {request: 5s, first_byte: 1s}, retry: {on: [500]}, hedge: true"), [])
        self.assertEqual(self.found("", "timeouts: {per_try: 1s}, retry: {attempts: 2}"), [])

    def test_timeouts(self) -> None:
        """A limit behind a shorter one, of the route or of its pool."""
        self.assertEqual(
            self.found("timeouts: {request: 1s, first_byte: 2s}"),
            [("listeners.web.routes[0].timeouts.first_byte", "idle-timeout")],
        )
        self.assertEqual(
            self.found("timeouts: {per_try: 5s}", "timeouts: {request: 1s}"),
            [("listeners.web.routes[0].timeouts.per_try", "idle-timeout")],
        )
        self.assertEqual(
            self.found("", "timeouts: {per_try: 1s, idle: 2s}"), [("pools.web.timeouts.idle", "idle-timeout")]
        )

    def test_retries(self) -> None:
        """Details of retries that there are not."""
        self.assertEqual(
            self.found("retry: {on: [500]}", "retry: false"), [("listeners.web.routes[0].retry", "idle-retry")]
        )
        self.assertEqual(self.found("", "retry: {budget: 0%, minimum: 0}"), [("pools.web.retry.budget", "idle-retry")])

    def test_hedges(self) -> None:
        """Nobody to ask, or no leave to."""
        config = load_text(_TEXT % ("", ""), registry_for(installed=False)).config
        self.assertEqual([each.path for each in pointless_attempts(config)], ["pools.one.hedge"])
        self.assertEqual(self.found("hedge: {budget: 0%}"), [("listeners.web.routes[0].hedge.budget", "hedges-alone")])

    def test_shared_answers(self) -> None:
        """Methods that share nothing."""
        self.assertEqual(
            self.found("match: {method: POST}, coalesce: true"),
            [("listeners.web.routes[0].coalesce", "shares-nothing")],
        )
        self.assertEqual(self.found("match: {method: [POST, GET]}, coalesce: true"), [])
