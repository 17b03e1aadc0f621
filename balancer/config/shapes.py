"""What the schema expects at a place: followed from the top along keys and indexes, only when there is an error.

A place may be reached in several ways (a listener of one of three protocols, a value or a list of them); all are
followed, so the answer is a set.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from balancer.config.document import Loc
from balancer.config.listeners import LISTENERS
from balancer.config.matches import MATCHERS, Match
from balancer.hooks.plugged import Factories, Pluggable

__all__ = ["Shapes", "follow", "known_keys"]


class Shapes:
    """Follows places through ``model`` and the settings models of ``registry``'s plug-ins."""

    def __init__(self, model: type[BaseModel], registry: Factories) -> None:
        self._model = model
        self._registry = registry

    def at(self, loc: Loc, data: Any = None) -> list[Any]:
        """Return what may stand at ``loc``: model classes, :class:`Pluggable` markers, other types.

        ``data`` is the configuration, by which a listener's protocol is known.
        """
        found: list[Any] = [self._model]
        for depth, part in enumerate(loc):
            if part == MATCHERS:
                continue
            if depth == 2 and loc[0] == "listeners":
                found = self._of_protocol(found, loc[1], data)
            found = [arm for shape in found for arm in _step(shape, part, self._registry)]
        return found

    def known_keys(self, loc: Loc, data: Any = None) -> list[str]:
        """Return every key that a mapping at ``loc`` may have."""
        found = self.at(loc, data)
        if len(loc) == 2 and loc[0] == "listeners":
            found = self._of_protocol(found, loc[1], data)
        keys = {key for shape in found for key in known_keys(shape)}
        if Match in found:
            keys |= set(self._registry.factories("matchers"))
        return sorted(keys)

    def homes(self, loc: Loc, key: str, data: Any = None) -> list[str]:
        """Return the keys at ``loc`` whose own value could have ``key``: where a misplaced one belongs."""
        keys = self.known_keys(loc, data)
        return [home for home in keys if key in self.known_keys((*loc, home), data)]

    @staticmethod
    def _of_protocol(found: list[Any], name: str | int, data: Any) -> list[Any]:
        listener = (
            data["listeners"].get(name) if isinstance(data, dict) and isinstance(data.get("listeners"), dict) else None
        )
        protocol = listener.get("protocol", "http") if isinstance(listener, dict) else "http"
        model = LISTENERS.get(protocol) if isinstance(protocol, str) else None
        return [model] if model in found else found


def follow(shape: Any, loc: Loc, registry: Factories | None = None) -> list[Any]:
    """Return what may stand at ``loc`` below ``shape``; plug-ins are passed over without a ``registry``."""
    found = [shape]
    for part in loc:
        found = [arm for each in found for arm in _step(each, part, registry)]
    return found


def _step(shape: Any, part: str | int, registry: Factories | None) -> Iterable[Any]:
    if isinstance(shape, Pluggable):
        return _plugged(shape.kind, part, registry)
    if isinstance(shape, type) and issubclass(shape, BaseModel):
        for name, field in shape.model_fields.items():
            if (field.alias or name) == part:
                return _arms(field.annotation, field.metadata)
        return _plugged("matchers", part, registry) if shape is Match else []
    origin, arguments = typing.get_origin(shape), typing.get_args(shape)
    if origin is tuple or origin is list:
        if isinstance(part, int):
            return _arms(arguments[0])
        return [arm for item in _arms(arguments[0]) for arm in _step(item, part, registry)]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _arms(arguments[1])
    return []


def _plugged(kind: str, name: str | int, registry: Factories | None) -> list[Any]:
    factory = registry.factories(kind).get(str(name)) if registry is not None else None
    return [factory.settings] if factory is not None else []


def _arms(annotation: Any, metadata: Iterable[Any] = ()) -> list[Any]:
    """Return the types that ``annotation`` stands for, unions and ``Annotated`` taken apart."""
    for marker in metadata:
        if isinstance(marker, Pluggable):
            return [marker]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _arms(arguments[0], arguments[1:])
    if origin is typing.Union or origin is types.UnionType:
        return [arm for argument in arguments if argument is not type(None) for arm in _arms(argument)]
    return [annotation]


def known_keys(shape: Any) -> list[str]:
    """Return the keys of ``shape``, if it is a model."""
    if not (isinstance(shape, type) and issubclass(shape, BaseModel)):
        return []
    return [field.alias or name for name, field in shape.model_fields.items() if field.alias != MATCHERS]
