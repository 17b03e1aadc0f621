"""Nested pluggables: a settings field whose value is another plug-in, written ``name`` or ``{name: settings}``.

A field declared ``Annotated[Plugged, Pluggable("checks")]`` (or ``tuple[Annotated[…], ...]`` for a list) is validated
with the settings model of the factory it names, so that errors inside are reported at their own line and column.
The value is a :class:`Plugged`: what to build, not yet built; :meth:`Plugged.build` makes the object.

The factories come from the validation context: ``Model.model_validate(data, context={"registry": registry})``.
``balancer schema`` finds the marker ``x-plugged`` that this leaves in a JSON Schema and puts the plug-ins' own there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Protocol

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    create_model,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from balancer.hooks.settings import Settings
from balancer.model.suggestions import did_you_mean

__all__ = ["Factories", "Pluggable", "Plugged", "invalid", "plugged_settings", "registry_of", "singular"]

_SINGULAR = {"access_log_formats": "access log format", "flags": "source of flags"}


class Factories(Protocol):
    """Where factories come from; the registry is one."""

    def factories(self, kind: str) -> Mapping[str, Any]:
        """Return the factories of ``kind`` (one of :data:`~.spec.KINDS`) by name."""

    def build(self, kind: str, name: str, settings: Settings) -> Any:
        """Return what the factory ``name`` makes of ``settings``."""


@dataclass(frozen=True, slots=True)
class Plugged:
    """What to build: the factory's name and its validated settings."""

    name: str
    settings: Settings
    kind: str = field(default="", compare=False)
    _factories: Any = field(default=None, repr=False, compare=False)  # Factories; pydantic cannot check a Protocol

    def build(self) -> Any:
        """Return the object; for one that came of a :class:`Pluggable` field.

        Raises:
            ValueError, PluginError: it cannot be made.
        """
        assert self._factories is not None
        made: Any = self._factories.build(self.kind, self.name, self.settings)
        return made

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Pluggable:
    """Marks a field (in ``Annotated``) as a pluggable of ``kind``: ``Annotated[Plugged, Pluggable("algorithms")]``."""

    kind: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"x-plugged": self.kind}

    def _validate(self, value: Any, info: core_schema.ValidationInfo) -> Plugged:
        if isinstance(value, Plugged):
            return value
        noun = singular(self.kind)
        if isinstance(value, str):
            name, given = value, None
        elif isinstance(value, dict) and len(value) == 1:
            name, given = next(iter(value.items()))
        elif isinstance(value, dict) and value:
            first, second, *_ = value
            raise invalid(f"expected one {noun}, got a second, '{second}', after '{first}'", second)
        else:
            raise ValueError(f"expected the name of {_a(noun)}, or {{name: settings}}")
        factories = registry_of(info).factories(self.kind)
        if name not in factories:
            message = f"there is no {noun} '{name}'{did_you_mean(str(name), factories)}"
            raise invalid(message, name) if isinstance(value, dict) else ValueError(message)
        plugged = plugged_settings({name: given}, factories, info.context)[0]
        return replace(plugged, kind=self.kind, _factories=registry_of(info))


def plugged_settings(given: Mapping[str, Any], factories: Mapping[str, Any], context: Any) -> tuple[Plugged, ...]:
    """Validate ``{name: settings}`` for each name, all of them known to ``factories``; None means no settings.

    A value that is not a mapping sets the field that the factory calls ``bare``, where it has one.

    Raises:
        ValidationError: with every problem of every one, located under its name.
    """
    values = {}
    for name, value in given.items():
        bare = getattr(factories[name], "bare", "")
        values[name] = {} if value is None else value if isinstance(value, dict) or not bare else {bare: value}
    wrapper = _wrapper(tuple((name, factories[name].settings) for name in given))
    try:
        checked = wrapper.model_validate(values, context=context)
    except ValidationError:
        raise
    except Exception as error:  # the settings models are a plug-in's code
        raise invalid(f"the settings model of {', '.join(given)} failed: {error!r}", *list(given)[:1]) from error
    return tuple(Plugged(name, getattr(checked, f"f{at}")) for at, name in enumerate(given))


@lru_cache(maxsize=1000)
def _wrapper(members: tuple[tuple[str, type[BaseModel]], ...]) -> type[BaseModel]:
    """A model with a field for each ``(name, settings)``, so that pydantic itself locates errors under the names."""
    fields: dict[str, Any] = {f"f{at}": (model, Field(alias=name)) for at, (name, model) in enumerate(members)}
    return create_model("Plugged", __config__=ConfigDict(arbitrary_types_allowed=True), **fields)


def registry_of(info: core_schema.ValidationInfo) -> Factories:
    """Return the registry from the validation context.

    Raises:
        LookupError: where whoever validates gave none; a mistake in a program, not in a configuration.
    """
    registry: Factories | None = (info.context or {}).get("registry")
    if registry is None:
        raise LookupError('validate with context={"registry": registry}: this model has fields that name plug-ins')
    return registry


def invalid(message: str, *loc: str | int, code: str = "invalid") -> ValidationError:
    """Return an error for a validator to raise: ``message`` at ``loc`` below the field being validated."""
    error = PydanticCustomError(code, "{words}", {"words": message})  # type: ignore[arg-type,unused-ignore]
    return ValidationError.from_exception_data("", [InitErrorDetails(type=error, loc=loc, input=None)])


def singular(kind: str) -> str:
    """Return the word for one of ``kind``: ``algorithm`` for ``algorithms``."""
    return _SINGULAR.get(kind, kind.removesuffix("s"))


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
