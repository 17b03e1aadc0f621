"""Tests for :mod:`balancer.config.json_schema`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from balancer.config.json_schema import json_schema
from tests.config.samples import Samples


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, list):
        for item in node:
            yield from _nodes(item)
    elif isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _nodes(value)


class JsonSchemaTests(SynchronousTestCase):
    """The schema for editors and other tools."""

    def setUp(self) -> None:
        self.schema = json_schema(Samples())
        self.defs = self.schema["$defs"]

    def _properties(self, name: str) -> dict[str, Any]:
        definition = self.defs[name]
        return dict(next(arm["properties"] for arm in definition.get("anyOf", [definition]) if "properties" in arm))

    def test_complete(self) -> None:
        """It is JSON, every reference leads somewhere, every definition is led to, and nothing of ours is left in it."""
        text = json.dumps(self.schema)
        references = {
            node["$ref"].rpartition("/")[2] for node in _nodes(self.schema) if isinstance(node.get("$ref"), str)
        }
        self.assertEqual(references, set(self.defs))
        self.assertNotIn('"x-', text)
        self.assertNotIn("(matchers)", text)

    def test_plug_ins(self) -> None:
        """A plug-in is named, alone only where it needs no settings, or with them; nested ones too."""
        algorithm = self._properties("Pool")["algorithm"]["anyOf"]
        self.assertEqual(algorithm[0], {"enum": ["p2c", "round_robin"]})
        self.assertEqual(algorithm[1]["properties"]["p2c"]["anyOf"][0], {"$ref": "#/$defs/P2cSettings"})
        checks = self._properties("WafSettings")["checks"]["items"]["anyOf"]
        self.assertEqual(checks[0], {"enum": ["size"]})
        self.assertEqual(
            checks[1]["properties"]["rules"]["anyOf"], [{"$ref": "#/$defs/RuleSettings"}, {"type": "string"}]
        )

    def test_matchers(self) -> None:
        """A plug-in's matcher is a property of a match, with the type of its bare value."""
        geoip = self._properties("Match")["geoip"]["anyOf"]
        self.assertEqual(geoip[0], {"$ref": "#/$defs/CountrySettings"})
        self.assertIn({"type": "string"}, geoip[1]["anyOf"])

    def test_short_forms(self) -> None:
        """Short forms are allowed where the reader allows them."""
        self.assertIn({"type": "string"}, self.defs["Server"]["anyOf"])
        self.assertIn({"type": "boolean"}, self._properties("Pool")["passive"]["anyOf"])
        self.assertEqual(self._properties("HttpListener")["bind"]["anyOf"][1]["type"], "array")
        self.assertEqual({"type": "string"}, self.defs["Redirect"]["anyOf"][0])

    def test_defaults(self) -> None:
        """Defaults are written as in a file."""
        timeouts = self._properties("HttpTimeouts")
        self.assertEqual(timeouts["head"]["default"], "10s")
        self.assertEqual(self._properties("HttpSettings")["head_size"]["default"], "32KiB")
        self.assertEqual(self._properties("Retry")["budget"]["default"], "20%")
        self.assertNotIn("default", self._properties("Pool")["timeouts"])

    def test_every_key_is_described(self) -> None:
        """Every key of the configuration says what it does."""
        for name, definition in {"": self.schema, **self.defs}.items():
            for arm in definition.get("anyOf", [definition]):
                for key, value in arm.get("properties", {}).items():
                    described = "description" in value or "$ref" in value or name == "Match"
                    self.assertTrue(described, f"{name}.{key}")

    def test_unknown_keys(self) -> None:
        """No section takes keys it does not know."""
        for name in ("Pool", "HttpListener", "Route", "Match"):
            definition = self.defs[name]
            self.assertIs(definition["additionalProperties"], False)
        self.assertIs(self.schema["additionalProperties"], False)
