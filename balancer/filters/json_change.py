"""JSON changed by pointers (RFC 6901), merge patches (RFC 7396) and patches (:mod:`.json_patch`): a value in, a value out, and text as it was but for that.

A ``*`` in a pointer is every element of an array or member of an object. Numbers keep the digits that they were written with;
members keep their order, of a repeated name the last counts; blanks between them are not kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from balancer.filters.json_patch import JsonPatch, Number, PatchError
from balancer.hooks.settings import Settings

__all__ = ["JsonChange", "JsonSetting", "NoJsonError"]


class NoJsonError(ValueError):
    """The text is no JSON that we can change: not UTF-8, not well-formed, too deep, or none that a patch is for."""


def _pointer(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(f"expected a pointer such as '/user/name', got {text!r}")
    at = text.find("~")
    while at >= 0:
        if text[at + 1 : at + 2] not in ("0", "1"):
            raise ValueError(f"expected '~0' for '~' and '~1' for '/' in a pointer, got {text!r}")
        at = text.find("~", at + 1)
    return text


Pointer = Annotated[str, AfterValidator(_pointer)]


class JsonSetting(Settings):
    """Changes a JSON text, in this order."""

    unwrap: Pointer | None = Field(
        default=None, description="What becomes the whole; where it is missing nothing does."
    )
    remove: tuple[Pointer, ...] = Field(default=(), description="Members and elements to take out.")
    rename: Mapping[Pointer, str] = Field(default={}, description="New names of members, by pointer.")
    set: Mapping[Pointer, Any] = Field(
        default={}, description="Values by pointer; objects on the way are made, '-' is behind an array's last."
    )
    merge: Mapping[str, Any] | None = Field(
        default=None, description="A merge patch: members to have, null for those to take out."
    )
    patch: tuple[Mapping[str, Any], ...] = Field(
        default=(),
        description="A patch of RFC 6902, operations such as {op: add, path: /a, value: 1}: all of them, or none.",
    )
    wrap: str | None = Field(default=None, description="Name of the member of a new object that holds the whole.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(
                "expected at least one of 'unwrap', 'remove', 'rename', 'set', 'merge', 'patch' and 'wrap'"
            )
        for pointer in self.set:
            if "*" in _steps(pointer)[-1:]:
                raise ValueError(f"expected a name or number at the end of a pointer to set, got {pointer!r}")
        if self.patch:
            JsonPatch(self.patch)
        return self


class JsonChange:
    """One change, ready to be used."""

    def __init__(self, setting: JsonSetting) -> None:
        self._setting = setting
        self._unwrap = _steps(setting.unwrap) if setting.unwrap is not None else None
        self._remove = [_steps(pointer) for pointer in setting.remove]
        self._rename = [(_steps(pointer), new) for pointer, new in setting.rename.items()]
        self._set = [(_steps(pointer), value) for pointer, value in setting.set.items()]
        self._patch = JsonPatch(setting.patch) if setting.patch else None
        names = ("unwrap", "remove", "rename", "set", "merge", "patch", "wrap")
        self.text = " ".join(name for name in names if name in setting.model_fields_set)

    def of_text(self, text: bytes) -> bytes:
        """Return the changed JSON text.

        Raises:
            NoJsonError: it is none, or a patch cannot be applied to it.
        """
        try:
            value = json.loads(text.decode("utf-8-sig"), parse_float=Number, parse_int=Number)
            return _written(self.of(value)).encode()
        except PatchError as error:
            raise NoJsonError(str(error)) from None
        except (ValueError, RecursionError) as error:
            raise NoJsonError(f"no JSON: {error}") from None

    def of(self, value: Any) -> Any:
        """Return the changed value; ``value`` itself may be changed."""
        if self._unwrap is not None:
            found: list[Any] = []
            _visit(value, self._unwrap, lambda holder, key: found.append(holder[key]))
            value = found[0] if found else value
        for steps in self._remove:
            _visit(value, steps, lambda holder, key: holder.__delitem__(key))
        for steps, new in self._rename:
            _visit(value, steps, lambda holder, key, new=new: _renamed(holder, key, new))  # type: ignore[misc]
        for steps, given in self._set:
            _put(value, steps, given)
        if self._setting.merge is not None:
            value = _merged(value, self._setting.merge)
        if self._patch is not None:
            value = self._patch.of(value)
        return value if self._setting.wrap is None else {self._setting.wrap: value}

    def __repr__(self) -> str:
        return f"<JsonChange {self.text}>"


def _steps(pointer: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _keys(holder: Any, step: str) -> list[Any]:
    """Return the keys of ``holder`` that ``step`` means, last first, so that they can be taken out one by one."""
    if isinstance(holder, dict):
        return list(holder) if step == "*" else [step] if step in holder else []
    if isinstance(holder, list):
        if step == "*":
            return list(range(len(holder) - 1, -1, -1))
        return [int(step)] if _is_index(step) and int(step) < len(holder) else []
    return []


def _is_index(step: str) -> bool:
    return step.isascii() and step.isdigit() and len(step) < 10 and (step == "0" or step[0] != "0")


def _visit(value: Any, steps: list[str], act: Callable[[Any, Any], Any]) -> None:
    """Call ``act(holder, key)`` for each place that the pointer means."""
    for key in _keys(value, steps[0]):
        if len(steps) == 1:
            act(value, key)
        else:
            _visit(value[key], steps[1:], act)


def _renamed(holder: Any, key: Any, new: str) -> None:
    if isinstance(holder, dict):
        members = [
            (new if name == key else name, value) for name, value in holder.items() if name != new or name == key
        ]
        holder.clear()
        holder.update(members)


def _put(value: Any, steps: list[str], given: Any) -> None:
    step, rest = steps[0], steps[1:]
    if rest:
        if isinstance(value, dict) and step != "*":
            value.setdefault(step, {})
        for key in _keys(value, step):
            _put(value[key], rest, given)
    elif isinstance(value, dict):
        value[step] = given
    elif isinstance(value, list):
        if step == "-":
            value.append(given)
        elif _is_index(step) and int(step) < len(value):
            value[int(step)] = given


def _merged(value: Any, patch: Any) -> Any:
    """Return RFC 7396's MergePatch."""
    if not isinstance(patch, Mapping):
        return patch
    target = value if isinstance(value, dict) else {}
    for name, given in patch.items():
        if given is None:
            target.pop(name, None)
        else:
            target[name] = _merged(target.get(name), given)
    return target


def _written(value: Any) -> str:
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return encode_basestring_ascii(value)
        return encode_basestring(value)
    if isinstance(value, Mapping):
        return "{" + ",".join([f"{_written(str(name))}:{_written(each)}" for name, each in value.items()]) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join([_written(each) for each in value]) + "]"
    return json.dumps(value)
