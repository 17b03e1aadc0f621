"""The reference of the configuration as Markdown, made from its schema: every key, type, default and description.

One section for each kind of mapping, in the order in which a reader meets them from the top, headed by where it stands
(``pools.NAME.health``). The plug-ins' settings are part of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from balancer.config.json_schema import annotated_schema
from balancer.hooks.plugged import Factories

__all__ = ["reference"]

_OPENING = """# Configuration reference

Made from the schema: every key with its type, its default and what it does. Keys without a default are required where
marked so, and otherwise off. Unknown keys are errors.
"""
_WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "nothing",
}


def reference(registry: Factories) -> str:
    """Return the whole page."""
    schema = annotated_schema(registry)
    page = _Page(schema["$defs"])
    page.section("", "", schema)
    while page.waiting:
        name, path = page.waiting.pop(0)
        for arm in _objects(page.definitions[name]):
            page.section(name, path, arm)
    return "\n".join([_OPENING, *page.lines])


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield the forms of a definition that have keys of their own."""
    for arm in schema.get("anyOf", [schema]):
        if "properties" in arm:
            yield arm


class _Page:
    """The lines so far, and the definitions that still want a section: ``waiting``, with where they were met first."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self.definitions = definitions
        self.lines: list[str] = []
        self.waiting: list[tuple[str, str]] = []
        self._met: set[str] = set()
        self._paths: set[str] = set()

    def section(self, name: str, path: str, schema: dict[str, Any]) -> None:
        """Add the section of one mapping."""
        heading = f"`{path}`" if path else "Top level"
        if path.endswith(".NAME") or path in self._paths:
            heading += f" ({_words(name)})"
        self._paths.add(path)
        self.lines += [f"({_anchor(name)})=", f"## {heading}", ""] if name else [f"## {heading}", ""]
        text = _plain(schema.get("description", ""))
        if text:
            self.lines += [text, ""]
        if not schema["properties"]:
            return
        self.lines += ["| key | type | default | |", "|---|---|---|---|"]
        for key, value in schema["properties"].items():
            where = f"{path}.{key}" if path else key
            default = "**required**" if key in schema.get("required", ()) else self._default(value)
            cells = (f"`{key}`", self._type(value, where), default, _plain(self._described(value)))
            self.lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        self.lines.append("")

    def _described(self, value: dict[str, Any]) -> str:
        if "description" in value or "$ref" not in value:
            return str(value.get("description", ""))
        return str(self.definitions[_name(value)].get("description", ""))

    @staticmethod
    def _default(value: dict[str, Any]) -> str:
        if "default" not in value or value["default"] in ([], {}, ""):
            return ""
        default = value["default"]
        return f"`{default if isinstance(default, str) else json.dumps(default, ensure_ascii=False)}`"

    def _type(self, value: dict[str, Any], path: str) -> str:
        """Return ``value``'s type in words; definitions met on the way get a link and a section."""
        if "$ref" in value:
            return self._link(_name(value), path)
        if "x-unit" in value:
            return {"duration": "duration", "size": "size", "percent": "percentage"}[value["x-unit"]]
        if "x-kind" in value:
            return self._plug_ins(value, path)
        if "const" in value:
            return f"`{value['const']}`"
        if "enum" in value:
            return " | ".join(f"`{choice}`" for choice in value["enum"])
        for many in ("anyOf", "oneOf"):
            if many in value:
                arms = [self._type(arm, path) for arm in value[many] if arm != {"type": "null"}]
                return " or ".join(dict.fromkeys(arms)) or "nothing"
        return self._plain_type(value, path)

    def _plain_type(self, value: dict[str, Any], path: str) -> str:
        kind = value.get("type")
        if kind == "array":
            return f"list of {self._type(value.get('items', {}), path + '[]')}"
        if kind == "object":
            if "properties" in value:
                named = ", ".join(
                    f"{key}: {self._type(each, f'{path}.{key}')}" for key, each in value["properties"].items()
                )
                return f"{{{named}}}"
            items: Any = value.get("additionalProperties") or next(
                iter(value.get("patternProperties", {}).values()), {}
            )
            inner = self._type(items, f"{path}.NAME") if isinstance(items, dict) and items else "anything"
            return f"mapping of names to {inner}"
        if isinstance(kind, list):
            return " or ".join(_WORDS.get(str(each), "anything") for each in kind)
        return _WORDS.get(str(kind), "anything") if kind is not None else "nothing" if "not" in value else "anything"

    def _plug_ins(self, value: dict[str, Any], path: str) -> str:
        """Return the names of the plug-ins, those that can be set linked to their settings."""
        names = []
        for arm in value["anyOf"]:
            for name, settings in arm.get("properties", {}).items():
                link = self._type(settings, f"{path}.{name}")
                names.append(link if link.startswith("[") else f"`{name}`")
        return ", ".join(names) or "nothing: no plug-in provides any"

    def _link(self, name: str, path: str) -> str:
        shown = path.rpartition(".")[2].replace("[]", "")
        if shown == "NAME":
            shown = _words(name)
        if not any(arm["properties"] for arm in _objects(self.definitions[name])):
            return f"`{shown}`"
        if name not in self._met:
            self._met.add(name)
            self.waiting.append((name, path))
        return f"[{shown}](#{_anchor(name)})"


def _words(name: str) -> str:
    """Return the words of a definition's name: ``http listener`` for ``HttpListener``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.rpartition("__")[2]).lower()


def _name(value: dict[str, Any]) -> str:
    return str(value["$ref"]).rpartition("/")[2]


def _anchor(name: str) -> str:
    return "configuration-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _plain(text: str) -> str:
    """Return a docstring's text as one line of Markdown."""
    return re.sub(r"\s+", " ", text.replace("``", "`")).strip()
