"""Broken configurations of every kind: each is refused with places, and nothing else is ever raised."""

from __future__ import annotations

import copy
import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from twisted.trial.unittest import SynchronousTestCase

from balancer import testing
from balancer.config.loading import load_text
from balancer.errors import ConfigurationError
from balancer.service.build import built, wrong_in_building

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = [*sorted((ROOT / "etc").rglob("*.yaml")), *sorted((ROOT / "docs" / "examples").glob("*.yaml"))]
_STRANGE: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    10**30,
    float("nan"),
    "",
    " ",
    "\x00",
    "x" * 5000,
    "é\U0001f600",
    "**",
    "{",
    "{a}{a}",
    "${",
    "/(",
    "unix:",
    "::",
    "127.0.0.1:0",
    "-5s",
    [],
    [[]],
    [None, {}],
    {},
    {"": None},
    {1: 2},
    {"regex": "("},
    {"a": {"b": {"c": []}}},
)


def _places(node: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _places(value, (*place, key))
    elif isinstance(node, list):
        for at, value in enumerate(node):
            yield from _places(value, (*place, at))


def _replaced(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    changed = copy.deepcopy(document)
    node = changed
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return changed


class ConfigurationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.registry = testing.registry()
        self.random = random.Random(self.id())

    def judge(self, text: str) -> None:
        """Load and build ``text``: it is a configuration, or every problem has a place in it."""
        try:
            built(load_text(text, self.registry, {}, file="b.yaml", building=wrong_in_building))
        except ConfigurationError as error:
            lines = text.count("\n") + 2
            for problem in error.problems:
                self.assertTrue(1 <= problem.line <= lines and problem.column >= 1, (problem, text))
                self.assertTrue(problem.message)
                self.assertNotIn("\n", str(problem))
        except Exception as error:
            raise AssertionError(text) from error

    def test_strange_values(self) -> None:
        """Something strange in the place of every part of every example."""
        for path in EXAMPLES:
            document = YAML(typ="safe", pure=True).load(path)
            for place in _places(document):
                for value in self.random.sample(_STRANGE, 1):
                    out = io.StringIO()
                    YAML(typ="safe", pure=True).dump(_replaced(document, place, value), out)
                    self.judge(out.getvalue())

    def test_damaged_text(self) -> None:
        """Characters lost, doubled, exchanged; files cut short."""
        for path in EXAMPLES:
            text = path.read_text()
            for _ in range(25):
                at, end = sorted(self.random.sample(range(len(text)), 2))
                damaged = self.random.choice(
                    (
                        text[:at],
                        text[:at] + text[at + 1 :],
                        text[:at] + self.random.choice("{}[]:,&*!|>'\"%@`\t\n-#?\x00\x85\ufeff") + text[at:],
                        text[:at] + text[at : min(end, at + 200)] * 2 + text[end:],
                    )
                )
                self.judge(damaged)
