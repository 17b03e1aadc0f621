"""The configuration's JSON Schema, the settings of every installed plug-in in their places: ``balancer schema``.

Fields that take a plug-in leave a marker in pydantic's schema (``x-plugged: KIND``; ``x-plugged-keys`` in a ``match``, whose
keys plug-ins add to). Here each is replaced by what the registry has: ``NAME`` or ``{NAME: settings}``. Settings may hold
further plug-ins (the checks of a filter), so this goes on until no marker is left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from balancer.config.matches import MATCHERS
from balancer.config.schema import Config
from balancer.hooks.plugged import Factories
from balancer.hooks.spec import KINDS
from balancer.model.units import format_duration, format_size

__all__ = ["annotated_schema", "json_schema"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REF = "#/$defs/{model}"


def json_schema(registry: Factories) -> dict[str, Any]:
    """Return the schema as plain data, complete in itself."""
    whole = annotated_schema(registry)
    _strip(whole)
    return whole


def annotated_schema(registry: Factories) -> dict[str, Any]:
    """Return the same with notes for :mod:`.reference`.

    ``x-unit`` (``duration``, ``size``, ``percent``) where a value has a unit, ``x-kind`` where it is a plug-in.
    """
    factories = {kind: dict(registry.factories(kind)) for kind in KINDS}
    models = {factory.settings for named in factories.values() for factory in named.values()} | {Config}
    wanted: list[Any] = [
        (model, "validation") for model in sorted(models, key=lambda model: (model.__module__, model.__qualname__))
    ]
    references, whole = models_json_schema(wanted, ref_template=_REF)
    definitions: dict[str, Any] = whole["$defs"]
    by_model = {model: reference for (model, _), reference in references.items()}
    _plug_in(definitions, factories, by_model)
    top = definitions.pop(by_model[Config]["$ref"].rpartition("/")[2])
    _tidy(top)
    _tidy(definitions)
    used = _reached(top, definitions)
    return {
        "$schema": _DIALECT,
        "title": "balancer configuration",
        **top,
        "$defs": {name: definitions[name] for name in sorted(used)},
    }


def _tidy(node: Any) -> None:
    """Take out what pydantic adds of its own, and write defaults as they are written in a file."""
    if isinstance(node, list):
        for item in node:
            _tidy(item)
    if not isinstance(node, dict):
        return
    if isinstance(node.get("title"), str):
        del node["title"]
    if "default" in node:
        _write_default(node)
    for key, value in node.items():
        if key == "properties":  # whose keys are a configuration's, 'default' among them
            for each in value.values():
                _tidy(each)
        elif key != "default":
            _tidy(value)


def _strip(node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _strip(item)
    elif isinstance(node, dict):
        node.pop("x-unit", None)
        node.pop("x-kind", None)
        for value in node.values():
            _strip(value)


def _write_default(node: dict[str, Any]) -> None:
    units = {arm.get("x-unit") for arm in [node, *node.get("anyOf", ())]} - {None}
    default = node["default"]
    if default is None or isinstance(default, dict):  # a section's own keys tell their defaults
        del node["default"]
    elif units and isinstance(default, (int, float)):
        node["default"] = _WRITTEN[units.pop()](default)


_WRITTEN: dict[Any, Callable[[Any], str]] = {
    "duration": format_duration,
    "size": format_size,
    "percent": lambda share: f"{share * 100:g}%",
}


def _reached(top: Any, definitions: dict[str, Any]) -> set[str]:
    """Return the names of the definitions that ``top`` leads to."""
    found: set[str] = set()
    waiting = [top]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            waiting += node.values()
            name = str(node.get("$ref", "")).rpartition("/")[2]
            if name in definitions and name not in found:
                found.add(name)
                waiting.append(definitions[name])
    return found


def _plug_in(node: Any, factories: dict[str, dict[str, Any]], references: dict[Any, Any]) -> None:
    """Replace the markers in ``node`` and everything below it."""
    if isinstance(node, list):
        for item in node:
            _plug_in(item, factories, references)
    if not isinstance(node, dict):
        return
    for value in list(node.values()):
        _plug_in(value, factories, references)
    kind = node.pop("x-plugged", None)
    if kind is not None:
        node["anyOf"] = _choices(factories[kind], references)
        node["x-kind"] = kind
    properties: Any = node.get("properties")
    marker = properties.get(MATCHERS) if isinstance(properties, dict) else None
    if isinstance(marker, dict) and "x-plugged-keys" in marker:
        del properties[MATCHERS]
        for name, factory in sorted(factories[marker["x-plugged-keys"]].items()):
            properties[name] = _settings(factory, references)


def _choices(factories: dict[str, Any], references: dict[Any, Any]) -> list[dict[str, Any]]:
    named = [name for name, factory in sorted(factories.items()) if not _required(factory)]
    choices: list[dict[str, Any]] = [{"enum": named}] if named else []
    choices += [
        {
            "type": "object",
            "properties": {name: _settings(factory, references)},
            "required": [name],
            "additionalProperties": False,
        }
        for name, factory in sorted(factories.items())
    ]
    return choices or [{"not": {}}]


def _settings(factory: Any, references: dict[Any, Any]) -> dict[str, Any]:
    """Return what may stand after the name of ``factory``."""
    forms: list[dict[str, Any]] = [dict(references[factory.settings])]
    bare = getattr(factory, "bare", "")
    if bare:
        field = factory.settings.model_fields[bare]
        whole: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
        forms.append(TypeAdapter(whole).json_schema(ref_template=_REF))
    if not _required(factory):
        forms.append({"type": "null"})
    return forms[0] if len(forms) == 1 else {"anyOf": forms}


def _required(factory: Any) -> bool:
    return any(field.is_required() for field in factory.settings.model_fields.values())
