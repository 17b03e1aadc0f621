"""Tests for :mod:`balancer.filters.mirror`: settings, and who gets a copy."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from balancer.config.lint import lint
from balancer.config.loading import load_text
from balancer.errors import ConfigurationError
from balancer.filters.mirror import NOTE, Mirror, MirrorSettings
from balancer.hooks.interfaces import IFilter
from balancer.model.exchange import Exchange
from balancer.service.build import built, registry_for
from balancer.service.explaining import Sample, explain
from tests.routing.making import facts

POOLS = (
    "pools: {web: {servers: ['127.0.0.1:2']}, shadow: {servers: ['127.0.0.1:3']}, other: {servers: ['127.0.0.1:4']}}"
)


def mirror(value: Any) -> Mirror:
    made = Mirror(MirrorSettings.model_validate(value if isinstance(value, dict) else {"targets": value}))
    verifyObject(IFilter, made)
    return made


def exchange(*headers: tuple[str, str], draw: float = 0.5) -> Exchange:
    made = Exchange(facts("/", headers=headers), [])
    made.draw = lambda: draw
    return made


def configured(filters: str, place: str = "route") -> str:
    route = f"{{name: web, pool: web{f', filters: {filters}' if place == 'route' else ''}}}"
    listener = f", filters: {filters}" if place == "listener" else ""
    return f"listeners: {{web: {{bind: '127.0.0.1:1', routes: [{route}]{listener}}}}}\n{POOLS}\n"


def load(text: str) -> Any:
    return load_text(text, registry_for(installed=False))


class MirrorTests(SynchronousTestCase):
    """Decisions."""

    def chosen(self, made: Mirror, *headers: tuple[str, str], draw: float = 0.5) -> list[str]:
        return [target.settings.pool for target in made.chosen(exchange(*headers, draw=draw))]

    def test_forms(self) -> None:
        """A name, settings, or a list of both."""
        for value in ("shadow", {"pool": "shadow"}, ["shadow"], [{"pool": "shadow"}]):
            self.assertEqual(self.chosen(mirror(value)), ["shadow"])
        self.assertEqual(self.chosen(mirror(["shadow", {"pool": "other", "percent": 1}])), ["shadow"])
        self.assertEqual(self.chosen(mirror(["shadow", {"pool": "other"}])), ["shadow", "other"])

    def test_percent(self) -> None:
        """A share of the requests; each target has its own."""
        made = mirror([{"pool": "shadow", "percent": 50}, {"pool": "other", "percent": 20}])
        self.assertEqual(
            [self.chosen(made, draw=draw) for draw in (0.1, 0.3, 0.6)], [["shadow", "other"], ["shadow"], []]
        )

    def test_copies(self) -> None:
        """What is a copy is not copied again."""
        self.assertEqual(self.chosen(mirror("shadow"), ("X-Mirrored", "1")), [])

    def test_notes(self) -> None:
        """Two filters add up, and both say what they have decided."""
        one, other, asked = mirror("shadow"), mirror({"pool": "other", "percent": 1}), exchange()
        for each in (one, other):
            each.request(asked)
        self.assertEqual(asked.notes["log"], {"mirror": {"shadow": "chosen"}})
        self.assertEqual([target.settings.pool for target in asked.notes[NOTE]], ["shadow"])
        self.assertEqual(
            [each.describe(asked) for each in (one, other)],
            ["copied to shadow (100 %)", "not copied to other (1 %)"],
        )
        self.assertEqual(repr(other), "<Mirror to other (1 %)>")

    def test_settings(self) -> None:
        """What makes no sense is refused with words."""
        for wrong, words in (
            ({}, "either 'pool' or 'targets'"),
            ({"targets": []}, "either 'pool' or 'targets'"),
            ({"pool": "a", "targets": ["b"]}, "either 'pool' or 'targets'"),
            ({"targets": ["b"], "percent": 5}, "beside its 'pool'"),
            ({"pool": "a", "percent": 0}, "greater than 0"),
            ({"pool": "a", "host_suffix": "a b"}, "expected letters"),
            ({"pool": "a", "compare": {"status": False}}, "something to compare"),
            ({"pool": "a", "compare": {"ignore": ["/a"]}}, "'body: json'"),
            ({"pool": "a", "compare": {"body": "json", "ignore": ["a"]}}, "JSON pointer"),
        ):
            error = self.assertRaises(ValidationError, MirrorSettings.model_validate, wrong)
            self.assertIn(words, str(error), wrong)


class ConfigurationTests(SynchronousTestCase):
    """Mirrors in a configuration."""

    def test_unknown_pools(self) -> None:
        """A pool that is not there is named at its place, in every form."""
        for place in ("route", "listener"):
            holder = "web.routes[0]" if place == "route" else "web"
            for value, path in (
                ("shadw", ""),
                ("{pool: shadw}", ".pool"),
                ("[shadow, shadw]", "[1]"),
                ("[{pool: shadw}]", "[0].pool"),
                ("{targets: [{pool: shadw}]}", ".targets[0].pool"),
            ):
                error = self.assertRaises(ConfigurationError, load, configured(f"[{{mirror: {value}}}]", place))
                [problem] = error.problems
                self.assertEqual(problem.path, f"listeners.{holder}.filters[0].mirror{path}")
                self.assertIn("there is no pool 'shadw'; did you mean 'shadow'?", problem.message)

    def test_lint(self) -> None:
        """A pool that only gets copies is in use."""
        for filters, unused in (("[]", {"shadow", "other"}), ("[{mirror: [shadow]}, {mirror: {pool: other}}]", set())):
            found = lint(load(configured(filters)).config)
            self.assertEqual({each.path.partition(".")[2] for each in found if each.code == "unused-pool"}, unused)

    def test_explained(self) -> None:
        """``balancer explain`` says who gets a copy; the request itself is as ever."""
        snapshot = built(load(configured("[{mirror: [shadow, {pool: other, percent: 10}]}]")))
        found = explain(snapshot, Sample("http://a/"), lambda: 0.5)
        self.assertEqual(found.filters[0]["does"], "copied to shadow (100 %), not copied to other (10 %)")
        self.assertEqual(found.pool, "web")
        assert found.request is not None
        self.assertNotIn("X-Mirrored", str(found.request["headers"]))
