"""pydantic's errors in an operator's words, each at its place in the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from balancer.config.document import BROKEN, Document, Loc, Secret
from balancer.config.listeners import LISTENERS
from balancer.config.matches import MATCHERS
from balancer.config.shapes import Shapes, follow, known_keys
from balancer.errors import Problem
from balancer.hooks.plugged import Pluggable, singular
from balancer.hooks.settings import StringMatch
from balancer.model.suggestions import did_you_mean, nearest

__all__ = ["problems_of"]


def problems_of(error: ValidationError, document: Document, shapes: Shapes) -> list[Problem]:
    """Return a problem for each error; none for values that could not be read, which are reported already."""
    errors = [dict(each) for each in error.errors(include_url=False)]
    found: dict[tuple[int, int, str], list[Problem]] = {}
    for each in _without_lesser_arms(errors, document):
        broken = each["input"] is BROKEN or document.value(each["loc"]) is BROKEN
        if (broken and each["type"] != "extra_forbidden") or _only_seems_short(each):
            continue
        problem = _problem(each, document, shapes)
        found.setdefault((problem.line, problem.column, problem.path), []).append(problem)
    return [problem for same in found.values() for problem in _united(same)]


def _only_seems_short(error: Mapping[str, Any]) -> bool:
    """Whether a list has entries enough, and pydantic has but not counted the wrong ones, which it reports anyway."""
    given = error["input"]
    return (
        error["type"] == "too_short" and isinstance(given, (list, tuple)) and len(given) >= error["ctx"]["min_length"]
    )


def _without_lesser_arms(errors: list[dict[str, Any]], document: Document) -> list[dict[str, Any]]:
    """Drop what the arms of a union say against a value that another arm follows further.

    pydantic puts the arm's name into the location, where the data have nothing: two names at one place are two arms.
    """
    deepest: dict[tuple[str | int, ...], dict[str | int, int]] = {}
    taken: list[list[tuple[tuple[str | int, ...], str | int]]] = []
    for error in errors:
        loc = error["loc"][:-1] if error["type"] in ("missing", "extra_forbidden") else error["loc"]
        found = document.found(loc)
        here, arms = 0, []
        for part in loc:
            if here < len(found) and found[here] == part:
                here += 1
            else:
                place = tuple(found[:here])
                arms.append((place, part))
                tags = deepest.setdefault(place, {})
                tags[part] = max(tags.get(part, 0), len(found))
        taken.append(arms)
    return [
        error
        for error, arms in zip(errors, taken, strict=True)
        if all(deepest[place][tag] == max(deepest[place].values()) for place, tag in arms)
    ]


def _united(same: list[Problem]) -> list[Problem]:
    """Make one of several problems at one place that expect different things of the same value."""
    first = same[0]
    wanted = [_EXPECTED_GOT.fullmatch(problem.message) for problem in same]
    if len(same) > 1 and all(wanted) and len({match["got"] for match in wanted if match}) == 1:
        things = " or ".join(dict.fromkeys(match["what"] for match in wanted if match))
        return [replace(first, message=f"expected {things}, got {wanted[0]['got']}" if wanted[0] else "")]
    return list({problem.message: problem for problem in same}.values())


_EXPECTED_GOT = re.compile(r"expected (?P<what>.*), got (?P<got>.*?)(?: \([^)]*\))?", re.DOTALL)


def _problem(error: Mapping[str, Any], document: Document, shapes: Shapes) -> Problem:
    kind, loc = str(error["type"]), tuple(error["loc"])
    if loc and loc[-1] == "[key]":
        return document.problem(loc[:-1], _said(error, []), key=True)
    if kind == "missing":
        return document.missing(loc, _missing(loc, document, shapes))
    if kind == "extra_forbidden":
        return document.problem(loc, _unknown(loc, document, shapes), "unknown", key=True)
    return document.problem(loc, _said(error, shapes.at(document.found(loc), document.data)))


def _missing(loc: Loc, document: Document, shapes: Shapes) -> str:
    for shape in shapes.at(loc[:-1], document.data):
        if isinstance(shape, type) and issubclass(shape, BaseModel):
            for name, field in shape.model_fields.items():
                if (field.alias or name) == loc[-1] and field.description:
                    return f"expected '{loc[-1]}': {_as_clause(field.description)}"
    return f"expected '{loc[-1]}'"


def _as_clause(sentence: str) -> str:
    """Return ``sentence`` as it stands after a colon; a first word such as ``RE2`` keeps its capitals."""
    first = sentence[0].lower() if sentence[1:2].islower() else sentence[0]
    return first + sentence[1:].rstrip(".")


def _unknown(loc: Loc, document: Document, shapes: Shapes) -> str:
    key = str(loc[-1])
    known = shapes.known_keys(loc[:-1], document.data)
    if nearest(key, known) is None:
        homes = shapes.homes(loc[:-1], key, document.data)
        if homes:
            return f"unknown key '{key}' here: it belongs under '{homes[0]}'"
        protocol = _protocol_of(loc, key)
        if protocol:
            return f"unknown key '{key}' here: it belongs to listeners with 'protocol: {protocol}'"
    if not known:
        return f"unknown key '{key}': there is nothing to set here"
    return f"unknown key '{key}'{did_you_mean(key, known)}"


def _protocol_of(loc: Loc, key: str) -> str:
    """Return the protocol whose listeners could have ``key`` at this place; ``""`` if none."""
    if loc[0] == "listeners":
        for protocol, model in LISTENERS.items():
            if any(
                key in known_keys(shape) for shape in follow(model, [part for part in loc[2:-1] if part != MATCHERS])
            ):
                return protocol
    return ""


def _said(error: Mapping[str, Any], shapes: list[Any]) -> str:
    kind, context, value = str(error["type"]), error.get("ctx") or {}, error["input"]
    if kind in ("value_error", "assertion_error"):
        return str(context["error"])
    if "words" in context:
        return str(context["words"])
    expected = _expected(kind, context, shapes)
    if expected is None:
        message = str(error["msg"])
        return f"{message[0].lower()}{message[1:]}"
    if error["loc"] and error["loc"][-1] in _CONFIDENTIAL:
        return f"expected {expected}"
    return f"expected {expected}, got {_named(value)}{_hint(kind, value)}"


_CONFIDENTIAL = ("secret", "token", "password")
"""Keys whose values are not repeated in a message."""


_WORDS = {
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bytes_type": "text",
    "none_required": "nothing",
    "tuple_type": "a list",
    "list_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "iterable_type": "a list",
    "sequence_str": "a list",
}
_BOUNDS = {
    "greater_than": ("a value above {}", "gt"),
    "greater_than_equal": ("a value of {} or more", "ge"),
    "less_than": ("a value below {}", "lt"),
    "less_than_equal": ("a value of {} or less", "le"),
    "multiple_of": ("a multiple of {}", "multiple_of"),
}


def _expected(kind: str, context: Mapping[str, Any], shapes: list[Any]) -> str | None:
    """Return what was expected, or None where pydantic's own words must do."""
    if "what" in context:
        return str(context["what"])
    if kind in _WORDS:
        return _WORDS[kind]
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        number = context[bound]
        return words.format(int(number) if isinstance(number, float) and number.is_integer() else number)
    if kind in ("literal_error", "enum"):
        return str(context["expected"]).replace("'", "")
    if kind in ("too_short", "too_long"):
        limit = context["min_length" if kind == "too_short" else "max_length"]
        return f"at {'least' if kind == 'too_short' else 'most'} {limit} {'entry' if limit == 1 else 'entries'}"
    if kind in ("string_too_short", "string_too_long"):
        limit = context["min_length" if kind == "string_too_short" else "max_length"]
        at = "least" if kind == "string_too_short" else "most"
        return f"text of at {at} {limit} character{'' if limit == 1 else 's'}"
    if kind == "string_pattern_mismatch":
        return f"text of the form {context['pattern']}"
    if kind in ("model_type", "model_attributes_type", "dict_type", "mapping_type", "dataclass_type"):
        return _mapping(shapes)
    return None


def _mapping(shapes: list[Any]) -> str:
    if StringMatch in shapes:
        return f"text, or a mapping with {', '.join(known_keys(StringMatch))}"
    for shape in shapes:
        if isinstance(shape, Pluggable):
            return f"the name of a {singular(shape.kind)}"
        keys = known_keys(shape)
        if keys:
            shown = ", ".join(keys[:6]) + (", …" if len(keys) > 6 else "")
            return f"a mapping (with keys such as {shown})" if len(keys) > 6 else f"a mapping (keys: {shown})"
    return "a mapping"


def _named(value: Any) -> str:
    """Return what was found instead, in words, never a whole structure."""
    if isinstance(value, Secret):
        return "the text of a file"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, BaseModel)):
        return "an empty mapping" if value == {} else "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list" if value else "an empty list"
    if isinstance(value, str) and not value:
        return "an empty text"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _hint(kind: str, value: Any) -> str:
    if kind == "string_type" and isinstance(value, (bool, int, float)):
        return " (quote it)"
    if kind in ("bool_type", "bool_parsing") and str(value).lower() in ("yes", "no", "on", "off"):
        return f" (did you mean '{'true' if str(value).lower() in ('yes', 'on') else 'false'}'?)"
    if kind.startswith("int") and isinstance(value, str) and value.isdigit():
        return " (take the quotes away)"
    return ""
