"""Variables: ``ARGS|!ARGS:note|&TX:/^x/`` into values."""

from __future__ import annotations

import re
from collections.abc import Callable

import re2

from balancer_crs.lang.errors import RuleError, nearest
from balancer_crs.lang.model import Variable, Where
from balancer_crs.lang.names import COLLECTIONS, REFUSED_VARIABLES, VARIABLES

__all__ = ["parse_variable", "parse_variables"]

_HEAD = re.compile(r"\s*([!&]*)\s*([A-Za-z0-9_]*)\s*")
_NEXT = re.compile(r"\s*[!&]*[A-Z_]{2,}\s*(?:[:|,]|$)")


def parse_variables(text: str, where: Callable[[int], Where], *, commas: bool = False) -> tuple[Variable, ...]:
    """Return the variables of a list, separated by ``|`` (with ``commas`` by ``,`` too).

    Raises:
        RuleError: one is unknown or badly written.
    """
    found: list[Variable] = []
    at = 0
    while True:
        variable, at = _one(text, at, where, commas)
        found.append(variable)
        if at >= len(text):
            return tuple(found)
        at += 1


def parse_variable(text: str, where: Callable[[int], Where]) -> Variable:
    """Return the one variable that ``text`` is."""
    variable, at = _one(text, 0, where, False)
    if at < len(text):
        raise RuleError(where(at), f"expected one variable, not {text!r}")
    return variable


def _one(text: str, at: int, where: Callable[[int], Where], commas: bool) -> tuple[Variable, int]:
    head = _HEAD.match(text, at)
    assert head is not None
    marks, name = head[1], head[2].upper()
    canonical = VARIABLES.get(name.lower())
    if canonical is None:
        raise RuleError(where(min(head.start(2), max(len(text) - 1, 0))), _why(text, head))
    if marks not in ("", "!", "&"):
        raise RuleError(where(head.start(1)), f"expected one ! or one & before {canonical}, not {marks}")
    at = head.end()
    key = pattern = None
    if text[at : at + 1] == ":":
        if canonical not in COLLECTIONS:
            raise RuleError(where(at), f"the variable {canonical} has no members")
        key, pattern, at = _member(text, at + 1, where, canonical, commas)
    if at < len(text) and text[at] != "|" and not (commas and text[at] == ","):
        raise RuleError(where(at), f"expected | between variables, not {text[at : at + 20]!r}")
    return Variable(canonical, key, pattern, marks == "&", marks == "!"), at


def _why(text: str, head: re.Match[str]) -> str:
    if not head[2]:
        return f"expected a variable, not {text[head.end() : head.end() + 20]!r}"
    if reason := REFUSED_VARIABLES.get(head[2].upper()):
        return f"the variable {head[2].upper()} is not supported: {reason}"
    return f"unknown variable {head[2]}{nearest(head[2], VARIABLES.values())}"


def _member(
    text: str, at: int, where: Callable[[int], Where], name: str, commas: bool
) -> tuple[str | None, str | None, int]:
    """Return key, pattern, and where the next variable's separator is."""
    start = at
    if text[at : at + 1] == "'":
        end = text.find("'", at + 1)
        if end < 0:
            raise RuleError(where(at), "a quote is opened here and never closed")
        member, start, at = text[at + 1 : end], at + 1, end + 1
        expression = len(member) > 1 and member[0] == member[-1] == "/"
    elif text[at : at + 1] == "/" and name != "XML":
        at = _end_of_expression(text, at, where)
        member, expression = text[start:at], True
    else:
        at = _end_of_key(text, at, commas)
        member, expression = text[start:at].rstrip(), False
    if not member or member == "//":
        raise RuleError(where(min(start, max(len(text) - 1, 0))), f"expected the name of a member after {name}:")
    if not expression or name == "XML":
        return member, None, at
    pattern = member[1:-1]
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    try:
        re2.compile(pattern.encode("utf-8", "surrogateescape"), options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
        raise RuleError(where(start), f"expected an RE2 expression between the slashes: {reason}") from None
    return None, pattern, at


def _end_of_expression(text: str, at: int, where: Callable[[int], Where]) -> int:
    start = at
    while True:
        at = text.find("/", at + 1)
        if at < 0:
            raise RuleError(where(start), "an expression is opened here by / and never closed")
        before = at - 1
        while text[before] == "\\":
            before -= 1
        if (at - before) % 2:  # an even number of backslashes escapes nothing
            return at + 1


def _end_of_key(text: str, at: int, commas: bool) -> int:
    while at < len(text) and text[at] != "|":
        if commas and text[at] == "," and _NEXT.match(text, at + 1):
            break
        at += 1
    return at
