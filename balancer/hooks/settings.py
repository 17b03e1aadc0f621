"""Settings: the base model and the field types that every configurable thing declares itself with.

A plug-in's settings are a subclass of :class:`Settings`; its fields become part of the configuration's schema, with
the same errors, positions and documentation as the built-in ones. Give every field a ``description``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Self

import re2
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from balancer.model.keys import Key
from balancer.model.units import parse_duration, parse_size

__all__ = [
    "Duration",
    "KeySetting",
    "LocalPath",
    "Regex",
    "Settings",
    "Size",
    "StringMatch",
    "local_path",
    "read_regex",
]


class Settings(BaseModel):
    """Base of every settings model: unknown keys are errors, instances are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def read_regex(text: Any) -> str:
    """Return ``text`` if it is an RE2 expression; raise ValueError saying why it is none."""
    if not isinstance(text, str):
        raise ValueError("expected a regular expression")
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
        raise ValueError(f"expected an RE2 regular expression: {reason}") from None
    return text


def _key(value: Any) -> Key:
    if isinstance(value, Key):
        return value
    if isinstance(value, str):
        return Key(value)  # type: ignore[arg-type]  # checked by _key_schema's caller below
    if isinstance(value, dict) and len(value) == 1:
        kind, name = next(iter(value.items()))
        if kind in ("header", "cookie", "query") and isinstance(name, str) and name:
            return Key(kind, name)
    raise ValueError("expected client_ip, client_port, host, path, target, method, or {header|cookie|query: NAME}")


def _checked_key(value: Any) -> Key:
    if isinstance(value, str) and value not in ("client_ip", "client_port", "host", "path", "target", "method"):
        raise ValueError("expected client_ip, client_port, host, path, target, method, or {header|cookie|query: NAME}")
    return _key(value)


def local_path(text: Any, info: ValidationInfo) -> str:
    """Return the path ``text``, made absolute by the ``directory`` in the validation context where there is one."""
    if not isinstance(text, str) or not text or "\0" in text:
        raise ValueError("expected the path of a file or directory")
    return str(Path((info.context or {}).get("directory", ""), text))


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^(\d+(\.\d+)?(us|ms|s|m|h|d))+$",
            "examples": ["250ms", "5s"],
            "x-unit": "duration",
        }
    ),
]
"""Seconds, written with a unit: ``250ms``, ``5s``, ``10m``."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["16KiB", "1MiB", 4096], "x-unit": "size"}),
]
"""Bytes, written as a number or with a unit: ``16KiB``, ``1MiB``."""

LocalPath = Annotated[str, BeforeValidator(local_path), WithJsonSchema({"type": "string"})]
"""A path on this machine; a relative one counts from the directory of the configuration file."""

Regex = Annotated[str, BeforeValidator(read_regex), WithJsonSchema({"type": "string", "format": "regex"})]
"""A regular expression in RE2 syntax (linear time), kept as text."""

KeySetting = Annotated[
    Key,
    BeforeValidator(_checked_key),
    WithJsonSchema(
        {
            "oneOf": [
                {"enum": ["client_ip", "client_port", "host", "path", "target", "method"]},
                {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 1,
                    "additionalProperties": False,
                    "properties": {kind: {"type": "string"} for kind in ("header", "cookie", "query")},
                },
            ]
        }
    ),
]
"""Which fact of a request is hashed: ``client_ip`` or ``{header: X-User}``."""


class StringMatch(Settings):
    """One condition on a string. A bare string means ``exact``; all conditions given must hold."""

    exact: str | None = Field(default=None, description="The whole value.")
    prefix: str | None = Field(default=None, description="What the value begins with.")
    suffix: str | None = Field(default=None, description="What the value ends with.")
    contains: str | None = Field(default=None, description="What the value contains.")
    regex: Regex | None = Field(default=None, description="RE2 expression found anywhere in the value.")
    present: bool | None = Field(default=None, description="Whether there must be a value at all, or none.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"exact": value}
        if isinstance(value, bool):
            raise ValueError("expected a string; quote it, or write {present: true}")
        if isinstance(value, (int, float)):
            return {"exact": str(value)}
        return value

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("expected a string or one of exact, prefix, suffix, contains, regex, present")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": ["string", "number"]}, handler(schema)]}

    def compiled(self) -> _Compiled:
        """Return a predicate over ``str | None`` (None: there is no such value)."""
        return _Compiled(self)

    def __str__(self) -> str:
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return repr(self.exact) if set(given) == {"exact"} else ", ".join(f"{k} {v!r}" for k, v in given.items())


class _Compiled:
    """A :class:`StringMatch` made ready to be called."""

    __slots__ = ("_match", "_only_exact", "_search")

    def __init__(self, match: StringMatch) -> None:
        self._match = match
        self._only_exact = match.exact if match.model_fields_set == {"exact"} else None
        self._search = re2.compile(match.regex).search if match.regex is not None else None

    def __call__(self, value: str | None) -> bool:
        if self._only_exact is not None:
            return value == self._only_exact
        match = self._match
        if match.present is not None and match.present != (value is not None):
            return False
        if value is None:
            return match.present is False
        return (
            (match.exact is None or value == match.exact)
            and (match.prefix is None or value.startswith(match.prefix))
            and (match.suffix is None or value.endswith(match.suffix))
            and (match.contains is None or match.contains in value)
            and (self._search is None or self._search(value) is not None)
        )


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What names of listeners, pools, routes and plug-in factories look like."""
