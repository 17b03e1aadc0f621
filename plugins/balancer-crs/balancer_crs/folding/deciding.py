"""Whether a rule matches, if that can be said without a request: it looks only at members of ``TX`` that are known."""

from __future__ import annotations

import re
from collections.abc import Callable

import re2

from balancer_crs.folding.state import ABSENT, State, integer, resolved
from balancer_crs.lang.model import Rule, Variable

__all__ = ["decide"]

_PLAIN = re.compile(r"[A-Za-z0-9_.-]*\Z")
_KEEP_PLAIN = frozenset(
    {
        "compressWhitespace",
        "htmlEntityDecode",
        "normalizePath",
        "removeNulls",
        "removeWhitespace",
        "replaceNulls",
        "trim",
        "trimLeft",
        "trimRight",
        "urlDecode",
        "urlDecodeUni",
        "utf8toUnicode",
    }
)
"""Transformations that change nothing in a text of letters, digits, ``_``, ``.`` and ``-``."""

_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "eq": lambda left, right: left == right,
    "ge": lambda left, right: left >= right,
    "gt": lambda left, right: left > right,
    "le": lambda left, right: left <= right,
    "lt": lambda left, right: left < right,
}

_TEXTS: dict[str, Callable[[str, str], bool]] = {
    "beginsWith": lambda value, argument: value.startswith(argument),
    "contains": lambda value, argument: argument in value,
    "endsWith": lambda value, argument: value.endswith(argument),
    "streq": lambda value, argument: value == argument,
    "within": lambda value, argument: value in argument,
}


def decide(rule: Rule, state: State) -> bool | None:
    """Return whether one rule (not those chained to it) matches; None if that depends on the request.

    True means that it matches once: effects of a rule that matches twice are done twice.
    """
    operator = rule.operator
    if operator is None:
        return True
    if rule.multi_match:
        return None
    values = []
    for variable in rule.variables:
        found = _values(variable, state)
        if found is None:
            return None
        values += found
    argument = resolved(operator.argument, state)
    if argument is None:
        return None if values else False
    hits = 0
    for value in values:
        changed = _transformed(value, rule.transformations)
        hit = None if changed is None else _holds(operator.name, changed, argument)
        if hit is None:
            return None
        hits += hit != operator.negated
    if hits and len(rule.variables) > 1 and rule.effects:
        return None  # the second variable may be judged after the effects of a match of the first
    return None if hits > 1 else hits == 1


def _values(variable: Variable, state: State) -> list[str] | None:
    """Return the values of a variable; None if they depend on the request."""
    if variable.name != "TX" or variable.key is None or variable.exclude:
        return None
    value = state.get(variable.key)
    if variable.count:
        return None if not isinstance(value, str) and value is not ABSENT else [str(int(value is not ABSENT))]
    if value is ABSENT:
        return []
    return [value] if isinstance(value, str) else None


def _transformed(value: str, transformations: tuple[str, ...]) -> str | None:
    for name in transformations:
        if name == "lowercase":
            value = "".join(chr(ord(each) + 32) if "A" <= each <= "Z" else each for each in value)
        elif name == "length":
            value = str(len(value.encode("utf-8", "surrogateescape")))
        elif name not in _KEEP_PLAIN or not _PLAIN.match(value) or (name == "normalizePath" and "." in value):
            return None
    return value


def _holds(name: str, value: str, argument: str) -> bool | None:
    if name in _COMPARE:
        return _COMPARE[name](integer(value), integer(argument))
    if name in _TEXTS:
        return _TEXTS[name](value, argument)
    if name == "unconditionalMatch":
        return True
    if name == "noMatch":
        return False
    if name == "rx":
        options = re2.Options()
        options.log_errors = False
        options.never_nl = False
        try:
            expression = re2.compile(f"(?s){argument}".encode("utf-8", "surrogateescape"), options)
        except re2.error:
            return None
        return expression.search(value.encode("utf-8", "surrogateescape")) is not None
    return None
