"""Tests for :mod:`balancer.cli.schema`."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from balancer.config.loading import load_text
from balancer.errors import ConfigurationError
from balancer.service.build import registry_for
from tests.cli.commands import ETC, CommandTestCase


def _places(node: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    parts = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for part, value in parts:
        yield (*place, part)
        yield from _places(value, (*place, part))


class SchemaTests(CommandTestCase):
    def test_examples_are_valid(self) -> None:
        """The schema is one, and takes what ships."""
        schema = json.loads(self.balancer("schema").stdout)
        Draft202012Validator.check_schema(schema)
        for path in sorted(ETC.rglob("*.yaml")):
            content = YAML(typ="safe", pure=True).load(path)
            self.assertEqual([error.message for error in Draft202012Validator(schema).iter_errors(content)], [], path)

    def test_nothing(self) -> None:
        """Wherever a value is left out (null), the schema and 'check' agree whether that may be."""
        schema = Draft202012Validator(json.loads(self.balancer("schema").stdout))
        yaml = YAML(typ="safe", pure=True)
        whole = yaml.load(Path(__file__).with_name("everything.yaml"))
        registry = registry_for(installed=False)
        for place in _places(whole):
            content = copy.deepcopy(whole)
            home = content
            for part in place[:-1]:
                home = home[part]
            home[place[-1]] = None
            text = io.StringIO()
            yaml.dump(content, text)
            try:
                load_text(text.getvalue(), registry, {})
                accepted = True
            except ConfigurationError:
                accepted = False
            self.assertEqual(schema.is_valid(content), accepted, place)

    def test_bare_text_to_expect(self) -> None:
        schema = json.loads(self.balancer("schema").stdout)
        content = {
            "listeners": {"a": {"bind": "127.0.0.1:1", "protocol": "tcp", "pool": "p"}},
            "pools": {
                "p": {
                    "servers": ["127.0.0.1:2"],
                    "health": {"probe": {"send_expect": {"send": "PING\r\n", "expect": "+PONG"}}},
                }
            },
        }
        self.assertEqual(list(Draft202012Validator(schema).iter_errors(content)), [])

    def test_numbers_for_text_and_no_percent(self) -> None:
        """What 'check' takes for a header's value or a share, the schema takes too."""
        schema = json.loads(self.balancer("schema").stdout)
        headers = {"request": {"set": {"X-Version": 2}, "add": {"X-Seen": [1, "b"], "X-Part": 0.5}}}
        content = {
            "listeners": {"a": {"bind": "127.0.0.1:1", "routes": [{"filters": [{"headers": headers}], "pool": "p"}]}},
            "pools": {"p": {"servers": ["127.0.0.1:2"], "retry": {"budget": 0}, "health": {"jitter": 0}}},
        }
        self.assertEqual(list(Draft202012Validator(schema).iter_errors(content)), [])
        content["pools"]["p"]["retry"]["budget"] = 1  # type: ignore[index]
        self.assertNotEqual(list(Draft202012Validator(schema).iter_errors(content)), [])
