"""How the query of a request becomes another: the settings of ``query``, and the change itself.

::

    query:
      keep: [id, page, filter_*]      # all others go; [] drops the whole query
      remove: [utm_*, fbclid]         # a trailing * takes all names that begin so
      rename: {q: search}
      set: {lang: de, user: "{id}"}   # exactly one, where the first of that name stood
      add: {via: balancer}            # one more; a list adds several

The steps run in this order. Names are compared decoded; parameters that no step touches keep their bytes, their order and
repeats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote, unquote_plus

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from balancer.hooks.settings import Settings
from balancer.model.facts import RequestFacts
from balancer.model.template import Template

__all__ = ["QueryChange", "QuerySetting"]


def _name(text: str) -> str:
    if not text:
        raise ValueError("expected the name of a parameter")
    return text


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"expected a string; write '{str(value).lower()}' in quotes")
    return str(value) if isinstance(value, (int, float)) else value


def _value(text: str) -> str:
    Template(text)
    return text


def _many(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else (value,)


_SCALAR = {"type": ["string", "number"]}
Name = Annotated[str, AfterValidator(_name)]
Value = Annotated[str, BeforeValidator(_text), AfterValidator(_value), WithJsonSchema(_SCALAR)]
Values = Annotated[
    tuple[Value, ...],
    BeforeValidator(_many),
    Field(min_length=1),
    WithJsonSchema({"oneOf": [_SCALAR, {"type": "array", "items": _SCALAR, "minItems": 1}]}),
]


class QuerySetting(Settings):
    """What becomes of the query, in this order."""

    keep: tuple[Name, ...] | None = Field(
        default=None, description="The only parameters that stay; 'page_*' means all that begin so, [] none."
    )
    remove: tuple[Name, ...] = Field(default=(), description="Parameters to take out; 'utm_*' means all that begin so.")
    rename: Mapping[Name, Name] = Field(default={}, description="New names, by old name.")
    set: Mapping[Name, Value] = Field(
        default={}, description="Parameters to have exactly once; values may hold {name}."
    )
    add: Mapping[Name, Values] = Field(default={}, description="Parameters to add; values may hold {name}.")


class QueryChange:
    """One change, checked. ``captures`` are the names in its values that only the route's path can give."""

    __slots__ = ("_add", "_keep", "_remove", "_rename", "_set", "captures", "text")

    def __init__(self, setting: QuerySetting) -> None:
        self._keep = None if setting.keep is None else _Names(setting.keep)
        self._remove = _Names(setting.remove) if setting.remove else None
        self._rename = {old: _quoted(new.encode()) for old, new in setting.rename.items()}
        self._set = tuple((name, _quoted(name.encode()), Template(text)) for name, text in setting.set.items())
        self._add = tuple(
            (_quoted(name.encode()), Template(text)) for name, texts in setting.add.items() for text in texts
        )
        templates = [*(template for _, _, template in self._set), *(template for _, template in self._add)]
        self.captures = frozenset().union(*(template.captures for template in templates))
        self.text = ", ".join(
            [
                *([] if setting.keep is None else [f"keep {' '.join(setting.keep) or 'nothing'}"]),
                *(f"remove {name}" for name in setting.remove),
                *(f"rename {old} to {new}" for old, new in setting.rename.items()),
                *(f"set {name}" for name in setting.set),
                *(f"add {name}" for name in setting.add),
            ]
        )

    def apply(self, query: str, facts: RequestFacts, captures: Mapping[str, str], route: str) -> str:
        """Return the new query, without ``?``; ``query`` is the raw one as it is now, ``""`` for none."""
        parts = [(unquote_plus(part.partition("=")[0]), part) for part in query.split("&")] if query else []
        before = len(parts)
        if self._keep is not None:
            parts = [each for each in parts if self._keep.have(each[0])]
        if self._remove is not None:
            parts = [each for each in parts if not self._remove.have(each[0])]
        if not self._rename and not self._set and not self._add and len(parts) == before:
            return query
        if self._rename:
            parts = [
                (name, self._rename[name] + part[len(part.partition("=")[0]) :])
                if name in self._rename
                else (name, part)
                for name, part in parts
            ]
            parts = [(unquote_plus(part.partition("=")[0]), part) for _, part in parts]
        for name, written, template in self._set:
            new = (name, f"{written}={self._rendered(template, facts, captures, route)}")
            at = next((at for at, each in enumerate(parts) if each[0] == name), len(parts))
            parts[at:] = [new, *(each for each in parts[at + 1 :] if each[0] != name)]
        for written, template in self._add:
            parts.append(("", f"{written}={self._rendered(template, facts, captures, route)}"))
        return "&".join([part for _, part in parts])

    @staticmethod
    def _rendered(template: Template, facts: RequestFacts, captures: Mapping[str, str], route: str) -> str:
        if template.constant is not None:
            return _quoted(template.constant)
        return _quoted(template.render(facts, captures, route, bytes))

    def __repr__(self) -> str:
        return f"<QueryChange {self.text}>"


class _Names:
    """Names, and beginnings of names."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._whole = frozenset(name for name in names if not name.endswith("*"))
        self._begins = tuple(name[:-1] for name in names if name.endswith("*"))

    def have(self, name: str) -> bool:
        """Whether ``name`` is one of them."""
        return name in self._whole or name.startswith(self._begins)


def _quoted(value: bytes) -> str:
    return quote(value, safe="/:@!$'()*,;~?")
