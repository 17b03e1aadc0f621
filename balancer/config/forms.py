"""Short forms: one value for a list of one, ``false`` for a section that is off, a bare value for a mapping.

Each reads the short form into the long one before validation, and adds it to the JSON Schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

__all__ = ["Filled", "Many", "Switch", "given", "one_of", "short"]


@dataclass(frozen=True, slots=True)
class Many:
    """Marks a tuple field that may be written as one value or as a list: ``Annotated[tuple[X, ...], Many()]``.

    An empty list is refused unless ``empty``: in a condition it could be read as "nothing" and as "anything".
    """

    empty: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._listed, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        many = dict(handler(schema))
        if not self.empty:
            many["minItems"] = 1
        return {"anyOf": [many["items"], many]}

    def _listed(self, value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            return [value]
        if not value and not self.empty:
            raise ValueError("expected at least one value, got an empty list")
        return value


@dataclass(frozen=True, slots=True)
class Switch:
    """Marks a field that may also be ``false`` (read as ``off``) or ``true`` (as ``on``: every setting its default)."""

    off: Mapping[str, Any] | str | None = None
    on: str | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._switched, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "boolean"}, *_arms(handler(schema))]}

    def _switched(self, value: Any) -> Any:
        if isinstance(value, bool):
            return ({} if self.on is None else self.on) if value else self.off
        if value is None:  # on or off? A file that says neither is not clear enough
            raise ValueError("expected true, false or a mapping of settings, got nothing")
        return value


@dataclass(frozen=True, slots=True)
class Filled:
    """Marks a list or mapping that must not be empty.

    Not pydantic's ``min_length``, which also counts entries that are wrong as not there.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = handler(source)
        kind = dict if inner["type"] == "dict" else list
        return core_schema.no_info_before_validator_function(lambda value: _filled(value, kind), inner)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        found = dict(handler(schema))
        found["minItems" if found.get("type") == "array" else "minProperties"] = 1
        return found


def _filled(value: Any, kind: type) -> Any:
    if isinstance(value, kind) and not value:
        raise ValueError(f"expected at least one entry, got an empty {'mapping' if kind is dict else 'list'}")
    return value


def one_of(schema: Any, *keys: str, null: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the JSON Schema of a model that has exactly one of ``keys``, which is not null but for those in ``null``."""
    return {**schema, "oneOf": [given(key) if key not in null else {"required": [key]} for key in keys]}


def given(key: str) -> dict[str, Any]:
    """Return the JSON Schema of what has ``key``, with a value."""
    return {"required": [key], "properties": {key: {"not": {"type": "null"}}}}


def short(schema: Any, *forms: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a model that may also be written in one of the short ``forms``."""
    return {"anyOf": [*(dict(form) for form in forms), *_arms(schema)]}


def _arms(schema: Any) -> list[Any]:
    """Return the alternatives of ``schema`` without ``null``, which a file has no need to write."""
    arms = schema["anyOf"] if set(schema) == {"anyOf"} else [schema]
    return [arm for arm in arms if arm != {"type": "null"}]
