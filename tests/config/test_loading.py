"""Tests for :mod:`balancer.config.loading`."""

from __future__ import annotations

import gc
import json
import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from balancer.config import load, load_text, read
from balancer.config.schema import Plugins
from balancer.errors import ConfigurationError
from tests.config.samples import SERVED, Samples, lines_of, problems_in

_KEYS = [
    "listeners",
    "pools",
    "web",
    "a",
    "bind",
    "routes",
    "match",
    "pool",
    "servers",
    "split",
    "tests",
    "protocol",
    "redirect",
    "filters",
    "path",
    "headers",
    "expect",
    "health",
    "sticky",
    "not",
    "any",
]
_ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["tcp", "/a", "*:1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=5),
    max_leaves=25,
)


class ReadTests(SynchronousTestCase):
    """From a file to a frozen tree."""

    def _file(self, content: str | bytes) -> str:
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        return path

    def test_attribute_names_are_keys(self) -> None:
        """A valid file becomes a tree whose attributes are the keys of the file."""
        config = read(self._file(SERVED), Samples())
        self.assertEqual(config.listeners["web"].bind, ("127.0.0.1:8080",))
        self.assertEqual(config.pools["app"].servers[0].address.port, 8000)
        self.assertEqual(config.pools["app"].algorithm.name, "p2c")

    def test_json(self) -> None:
        """JSON is YAML, and its errors have places too."""
        path = self._file('{"listeners": {"web": {"bind": "*:1", "pool": "a"}},\n "pools": {"a": {"servers": ["b"]}}}')
        error = self.assertRaises(ConfigurationError, read, path, Samples())
        self.assertEqual((error.problems[0].line, error.problems[0].column), (2, 30))

    def test_all_problems_at_once_in_order(self) -> None:
        """Syntax of values, unknown keys, missing keys and names that do not exist come together, top down."""
        found = lines_of(
            "worker: 1\n"
            "listeners:\n"
            "  web:\n"
            "    bind: 0.0.0.0\n"
            "    routes:\n"
            "      - match: {path: a}\n"
            "        pool: ap\n"
            "      - name: two\n"
            "pools:\n"
            "  app:\n"
            "    servers:\n"
            "      - adress: a:1\n"
            "    secret: ${NOPE}\n"
        )
        self.assertEqual(
            found,
            [
                "1:1: worker: unknown key 'worker'; did you mean 'workers'?",
                "4:11: listeners.web.bind: expected 'host:port' or 'unix:/path', got '0.0.0.0'",
                "6:23: listeners.web.routes[0].match.path: expected a path that begins with '/', got 'a'",
                "7:15: listeners.web.routes[0].pool: there is no pool 'ap'; did you mean 'app'?",
                "8:9: listeners.web.routes[1]: expected an action: one of pool, split, redirect, respond, resource",
                "12:9: pools.app.servers[0].address: expected 'address': host:port, [v6]:port, name:port or unix:/path",
                "12:9: pools.app.servers[0].adress: unknown key 'adress'; did you mean 'address'?",
                "13:5: pools.app.secret: unknown key 'secret'",
                "13:13: pools.app.secret: expected the environment variable NOPE to be set, or a default: ${NOPE:-default}",
            ],
        )

    def test_a_value_that_cannot_be_read_is_reported_once(self) -> None:
        """Nobody complains again about what stands for a variable that is not set."""
        text = SERVED.replace("127.0.0.1:8000", "'${SERVER}'").replace("pool: app", "pool: ${POOL}")
        self.assertEqual([problem.code for problem in problems_in(text)], ["environment", "environment"])

    def test_secrets_are_not_repeated(self) -> None:
        """What a ``!file`` holds is in no message."""
        path = self._file("hunter2")
        text = SERVED.replace("127.0.0.1:8000", f"!file {os.path.abspath(path)}")
        error = self.assertRaises(ConfigurationError, load_text, text, Samples())
        self.assertIn("expected 'host:port'", str(error))
        self.assertNotIn("hunter2", str(error))

    def test_a_short_secret_is_not_repeated(self) -> None:
        """A ``secret`` that is too short is not shown."""
        found = lines_of(SERVED + "secret: sesame\n")
        self.assertEqual(found, ["9:9: secret: expected text of at least 16 characters"])

    def test_not_a_mapping(self) -> None:
        """A file with something else at its top is refused at its top."""
        for text in ("[1]", "text", "5"):
            with self.subTest(text):
                self.assertEqual(
                    lines_of(text), ["1:1: expected a mapping with the keys listeners and pools at the top"]
                )

    def test_registry_by_the_file(self) -> None:
        """A callable makes the registry from the file's own ``plugins``, and gets the defaults where they are wrong."""
        seen: list[Plugins] = []

        def made(plugins: Plugins) -> Samples:
            seen.append(plugins)
            return Samples()

        load_text(SERVED + "plugins: {disable: [geoip]}\n", made)
        self.assertRaises(ConfigurationError, load_text, SERVED + "plugins: {disable: 5}\n", made)
        self.assertEqual([plugins.disable for plugins in seen], [("geoip",), ()])

    def test_places_for_later(self) -> None:
        """What turns out in building is reported at its place, until the places are let go."""
        config = load(self._file(SERVED), Samples()).config
        problem = config.problem(("pools", "app", "servers", 0), "not today")
        self.assertEqual((problem.line, problem.column, problem.path), (8, 15, "pools.app.servers[0]"))
        config.forget_places()
        self.assertEqual(config.problem(("pools", "app"), "not today").line, 0)

    def test_collector_is_left_as_it_was(self) -> None:
        """The garbage collector runs again afterwards, also after a failure."""
        self.assertTrue(gc.isenabled())
        problems_in("{")
        self.assertTrue(gc.isenabled())

    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(_ANYTHING)
    def test_any_shape(self, data: object) -> None:
        """Whatever is in the file, the outcome is a configuration or a list of problems, never another error."""
        for text in (json.dumps(data), json.dumps({"listeners": {"web": data}, "pools": {"a": data}, "tests": [data]})):
            for problem in problems_in(text):
                self.assertTrue(problem.message)
                self.assertGreaterEqual(problem.line, 1)
