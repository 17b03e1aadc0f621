"""Tests for :mod:`balancer.config.attempts`."""

from __future__ import annotations

from pydantic import ValidationError
from twisted.trial.unittest import SynchronousTestCase

from balancer.config.attempts import Coalesce, Hedge, PoolTimeouts, Retry, RouteTimeouts
from balancer.config.loading import load_text
from balancer.errors import ConfigurationError
from balancer.service.build import registry_for

_TEXT = """\
listeners:
  web:
    bind: 127.0.0.1:80
    protocol: http
    routes: [{%s}]
pools: {web: {servers: ['127.0.0.1:81']}}
"""


class AttemptsTests(SynchronousTestCase):
    def problems(self, route: str) -> list[str]:
        try:
            load_text(_TEXT % route, registry_for(installed=False), {}, file="b.yaml")
        except ConfigurationError as error:
            return [f"{each.path}: {each.message}" for each in error.problems]
        return []

    def test_timeouts(self) -> None:
        """An attempt is part of the whole; 0 is no limit."""
        for kind in (PoolTimeouts, RouteTimeouts):
            with self.assertRaisesRegex(ValidationError, "no longer than 'request'"):
                kind.model_validate({"request": "1s", "per_try": "2s"})
            self.assertEqual(kind.model_validate({"request": "0s", "per_try": "2s"}).per_try, 2.0)

    def test_retry(self) -> None:
        """Conditions have names, or are statuses; there is a bound to what can be asked for."""
        settings = Retry.model_validate({"on": ["5xx", "retriable_4xx", 404, "unavailable"], "methods": "POST"})
        self.assertEqual((settings.on, settings.methods), (("5xx", "retriable_4xx", 404, "unavailable"), ("POST",)))
        for wrong in (
            {"on": ["4xx"]},
            {"on": [399]},
            {"on": [True]},
            {"attempts": 11},
            {"replay": "65MiB"},
            {"backoff": {"base": "2s", "max": "1s"}},
            {"methods": "get"},
        ):
            with self.assertRaises(ValidationError):
                Retry.model_validate(wrong)

    def test_hedge(self) -> None:
        """After a time, or a quantile."""
        self.assertEqual([Hedge.model_validate({"after": each}).after for each in ("200ms", "p99.5")], [0.2, "p99.5"])
        for wrong in ("p40", "p100", "0s", 5, "soon"):
            with self.assertRaisesRegex(ValidationError, "after"):
                Hedge.model_validate({"after": wrong})

    def test_hedge_and_sticky(self) -> None:
        """Who sticks to a server is not sent to another meanwhile."""
        text = _TEXT.replace("'127.0.0.1:81']", "'127.0.0.1:81'], sticky: source_ip")
        for route in ("pool: web, hedge: true", "split: {web: 1}, hedge: {after: 1s}"):
            with self.assertRaisesRegex(ConfigurationError, "hedge: expected no 'hedge' where clients stick"):
                load_text(text % route, registry_for(installed=False), {}, file="b.yaml")
        load_text(text % "pool: web, hedge: false", registry_for(installed=False), {}, file="b.yaml")
        with self.assertRaisesRegex(ConfigurationError, "pools.web.hedge: expected no"):
            load_text(
                text.replace("sticky", "hedge: true, sticky") % "pool: web",
                registry_for(installed=False),
                {},
                file="b.yaml",
            )

    def test_coalesce(self) -> None:
        """By default requests must accept the same; the names of fields have no case."""
        self.assertEqual(Coalesce().headers, ("accept", "accept-encoding"))
        self.assertEqual(Coalesce.model_validate({"headers": "Cookie"}).headers, ("cookie",))
        with self.assertRaises(ValidationError):
            Coalesce.model_validate({"buffer": "1KiB"})

    def test_routes(self) -> None:
        """A route has them where it asks servers."""
        self.assertEqual(self.problems("pool: web, timeouts: {request: 1s}, retry: false"), [])
        self.assertEqual(self.problems("split: {web: 1}, timeouts: {request: 0s}, retry: {attempts: 2}"), [])
        self.assertEqual(
            self.problems("respond: 200, timeouts: {request: 1s}"),
            [
                "listeners.web.routes[0].timeouts: expected 'timeouts' beside 'pool' or 'split' only: no server is asked here"
            ],
        )
