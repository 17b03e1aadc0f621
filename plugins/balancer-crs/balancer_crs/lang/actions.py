"""Actions: ``id:1,phase:2,t:lowercase,setvar:'tx.n=+1'`` into values, one by one; putting them together is for ``drafts``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from balancer_crs.lang.errors import RuleError, nearest
from balancer_crs.lang.macros import parse_text
from balancer_crs.lang.model import Ctl, ExpireVar, InitCol, SetEnv, SetVar, Text, Where
from balancer_crs.lang.names import (
    ACTIONS,
    BODY_PROCESSORS,
    CTLS,
    PERSISTENT,
    REFUSED_ACTIONS,
    REFUSED_TRANSFORMATIONS,
    SEVERITIES,
    TRANSFORMATIONS,
)
from balancer_crs.lang.variables import parse_variable

__all__ = ["Action", "Value", "parse_actions", "parse_ranges"]

Value = str | int | Text | SetVar | ExpireVar | InitCol | SetEnv | Ctl | None
Place = Callable[[int], Where]

_ITEM = re.compile(r"[\s,]*([A-Za-z_][A-Za-z0-9_]*)\s*(:?)\s*")
_PHASES = {"request": 2, "response": 4, "logging": 5}
_SWITCHES = {"on": "On", "off": "Off"}
_WITHOUT = frozenset(
    {
        "auditlog",
        "block",
        "capture",
        "chain",
        "deny",
        "drop",
        "log",
        "multiMatch",
        "noauditlog",
        "nolog",
        "pass",
        "sanitiseMatched",
    }
)
_MAY = frozenset({"allow", "sanitiseMatchedBytes"})


@dataclass(frozen=True, slots=True)
class Action:
    """One action: its canonical name and its value, typed by the name."""

    name: str
    value: Value
    where: Where


def parse_actions(text: str, where: Place) -> tuple[Action, ...]:
    """Return the actions of a list, in order.

    Raises:
        RuleError: one is unknown, or its value is none.
    """
    return tuple(_actions(text, where))


def _actions(text: str, where: Place) -> Iterator[Action]:
    at = 0
    end = len(text.rstrip(" \t\r\n\v\f,"))
    while at < end:
        item = _ITEM.match(text, at)
        if item is None:
            raise RuleError(where(at), f"expected an action, not {text[at : at + 20]!r}")
        start = item.start(1)
        name = ACTIONS.get(item[1].lower())
        if name is None:
            raise RuleError(where(start), _why(item[1]))
        at = item.end()
        value: str | None = None
        begun = at
        if item[2]:
            value, begun, at = _value(text, at, where)
        if at < end and text[at] != ",":
            raise RuleError(where(at), f"expected a comma after the action {name}, not {text[at : at + 20]!r}")
        if value is None and name not in _WITHOUT and name not in _MAY:
            raise RuleError(where(start), f"expected a value: {name}:…")
        if value and name in _WITHOUT:
            raise RuleError(where(start), f"the action {name} takes no value")
        yield Action(name, _typed(name, value or "", _shifted(where, begun)), where(start))


def _shifted(where: Place, begun: int) -> Place:
    return lambda index: where(begun + index)


def _why(name: str) -> str:
    if reason := REFUSED_ACTIONS.get(name.lower()):
        return f"the action {name} is not supported: {reason}"
    return f"unknown action {name}{nearest(name, ACTIONS.values())}"


def _value(text: str, at: int, where: Place) -> tuple[str, int, int]:
    """Return a value, where it begins, and where what follows it begins."""
    if text[at : at + 1] != "'":
        end = text.find(",", at)
        end = len(text) if end < 0 else end
        return text[at:end].rstrip(), at, end
    end = at
    while True:
        end = text.find("'", end + 1)
        if end < 0:
            raise RuleError(where(at), "a quote is opened here and never closed")
        if text[end - 1] != "\\":
            after = end + 1
            while after < len(text) and text[after] in " \t\r\n\v\f":
                after += 1
            return text[at + 1 : end].replace("\\'", "'"), at + 1, after


def _typed(name: str, value: str, where: Place) -> Value:
    reader = _READERS.get(name)
    return value if reader is None else reader(value, where)


def _number(name: str, first: int, last: int) -> Callable[[str, Place], int]:
    def read(value: str, where: Place) -> int:
        if not re.fullmatch(r"[0-9]{1,10}", value) or not first <= int(value) <= last:
            raise RuleError(where(0), f"expected {name}:N, N from {first} to {last}, not {value!r}")
        return int(value)

    return read


def _text(value: str, where: Place) -> Text:
    return parse_text(value, where)


def _phase(value: str, where: Place) -> int:
    phase = _PHASES.get(value.lower()) or (int(value) if re.fullmatch("[1-5]", value) else 0)
    if not phase:
        raise RuleError(where(0), f"expected a phase: 1 to 5, request, response or logging, not {value!r}")
    return phase


def _severity(value: str, where: Place) -> int:
    severity = SEVERITIES.get(value.upper(), int(value) if re.fullmatch("[0-7]", value) else None)
    if severity is None:
        raise RuleError(where(0), f"expected a severity: 0 to 7, or {', '.join(SEVERITIES)}, not {value!r}")
    return severity


def _transformation(value: str, where: Place) -> str:
    canonical = TRANSFORMATIONS.get(value.lower())
    if canonical is not None:
        return canonical
    if reason := REFUSED_TRANSFORMATIONS.get(value.lower()):
        raise RuleError(where(0), f"the transformation {value} is not supported: {reason}")
    raise RuleError(where(0), f"unknown transformation {value!r}{nearest(value, TRANSFORMATIONS.values())}")


def _allow(value: str, where: Place) -> str:
    if value.lower() not in ("", "phase", "request"):
        raise RuleError(where(0), f"expected allow, allow:phase or allow:request, not {value!r}")
    return value.lower() or "all"


def _member(name: str, value: str, where: Place, collections: frozenset[str]) -> tuple[str, str, int]:
    """Return collection, the rest after the dot, and where that rest begins."""
    found = re.match(r"\s*([A-Za-z_]+)\s*[.:]", value)
    if found is None:
        raise RuleError(where(0), f"expected {name}:COLLECTION.NAME=…, not {value!r}")
    collection = found[1].upper()
    if collection not in collections:
        raise RuleError(
            where(found.start(1)), f"{name} cannot change {found[1]}; it can {', '.join(sorted(collections))}"
        )
    return collection, value[found.end() :], found.end()


def _setvar(value: str, where: Place) -> SetVar:
    unset = value.startswith("!")
    collection, rest, start = _member("setvar", value[unset:], _shifted(where, unset), PERSISTENT | {"TX"})
    start += unset
    key, equals, new = rest.partition("=")
    if not key.strip():
        raise RuleError(where(start), "expected the name of a member")
    member = parse_text(key.strip(), _shifted(where, start))
    if unset:
        if equals:
            raise RuleError(where(start), "what is unset by ! is given no value")
        return SetVar(collection, member, "unset")
    start += len(key) + 1
    operation = {"+": "add", "-": "subtract"}.get(new[:1], "set")
    if operation != "set" and not re.match(r"\s*([0-9]|%\{)", new[1:]):
        operation = "set"  # "-foo" is a text
    skipped = int(operation != "set")
    changed = parse_text(new[skipped:], _shifted(where, start + skipped)) if equals else Text(("1",))
    if operation == "add":
        return SetVar(collection, member, "add", changed)
    if operation == "subtract":
        return SetVar(collection, member, "subtract", changed)
    return SetVar(collection, member, "set", changed)


def _expirevar(value: str, where: Place) -> ExpireVar:
    collection, rest, start = _member("expirevar", value, where, PERSISTENT)
    key, _, seconds = rest.partition("=")
    if not key.strip() or not seconds.strip():
        raise RuleError(where(start), "expected expirevar:COLLECTION.NAME=SECONDS")
    after = start + len(key) + 1
    return ExpireVar(
        collection, parse_text(key.strip(), _shifted(where, start)), parse_text(seconds.strip(), _shifted(where, after))
    )


def _initcol(value: str, where: Place) -> InitCol:
    collection, equals, key = value.partition("=")
    if collection.strip().upper() not in PERSISTENT or not equals or not key.strip():
        raise RuleError(where(0), f"expected initcol:COLLECTION=KEY, a collection of {', '.join(sorted(PERSISTENT))}")
    return InitCol(collection.strip().upper(), parse_text(key.strip(), _shifted(where, len(collection) + 1)))


def _named(collection: str) -> Callable[[str, Place], InitCol]:
    return lambda value, where: InitCol(collection, parse_text(value, where))


def _setenv(value: str, where: Place) -> SetEnv:
    key, equals, new = value.partition("=")
    if not key.strip():
        raise RuleError(where(0), "expected setenv:NAME=VALUE")
    content = parse_text(new, _shifted(where, len(key) + 1)) if equals else Text(("1",))
    return SetEnv(parse_text(key.strip(), where), content)


def _ctl(value: str, where: Place) -> Ctl:
    key, equals, rest = value.partition("=")
    canonical = CTLS.get(key.strip().lower())
    if canonical is None:
        raise RuleError(where(0), f"unknown ctl {key.strip()!r}{nearest(key.strip(), CTLS.values())}")
    start = len(key) + 1
    if not equals or not rest.strip():
        raise RuleError(where(0), f"expected ctl:{canonical}=…")
    if not canonical.startswith("ruleRemove"):
        return Ctl(canonical, _setting(canonical, rest.strip(), _shifted(where, start)))
    what, semicolon, target = rest.partition(";")
    if canonical.startswith("ruleRemoveTarget") != bool(semicolon):
        raise RuleError(where(start), f"expected ctl:{canonical}={'WHAT;VARIABLE' if not semicolon else 'WHAT'}")
    ranges = parse_ranges(what, _shifted(where, start)) if canonical.endswith("ById") else ()
    variable = parse_variable(target, _shifted(where, start + len(what) + 1)) if semicolon else None
    if variable is not None and variable.exclude:
        raise RuleError(where(start + len(what) + 1), "expected what is to be left out, without !")
    return Ctl(canonical, what.strip(), ranges, variable)


def _setting(name: str, value: str, where: Place) -> str:
    low = value.lower()
    switches = dict(_SWITCHES)
    if name == "ruleEngine":
        switches["detectiononly"] = "DetectionOnly"
    elif name == "auditEngine":
        switches["relevantonly"] = "RelevantOnly"
    elif name == "requestBodyProcessor":
        switches = {each.lower(): each for each in BODY_PROCESSORS}
    elif name.endswith("Limit"):
        if re.fullmatch(r"[0-9]{1,12}", value):
            return value
        switches = {"a number of bytes": ""}
    elif name == "auditLogParts":
        if re.fullmatch(r"[-+]?[A-KZa-kz]+", value):
            return value.upper()
        switches = {"letters of parts, perhaps behind + or -": ""}
    if low not in switches:
        expected = ", ".join(new or old for old, new in switches.items())
        raise RuleError(where(0), f"expected ctl:{name}=…, one of {expected}, not {value!r}")
    return switches[low]


def parse_ranges(text: str, where: Place) -> tuple[tuple[int, int], ...]:
    """Return ids and ranges of ids, separated by blanks or commas: ``1 5-9``."""
    ranges = []
    for part in re.finditer(r"[^\s,]+", text):
        found = re.fullmatch(r"([0-9]{1,10})(?:-([0-9]{1,10}))?", part[0])
        if found is None or int(found[1]) > int(found[2] or found[1]):
            raise RuleError(where(part.start()), f"expected a rule's id or a range of ids, not {part[0]!r}")
        ranges.append((int(found[1]), int(found[2] or found[1])))
    if not ranges:
        raise RuleError(where(0), "expected a rule's id or a range of ids")
    return tuple(ranges)


_READERS: dict[str, Callable[[str, Place], Value]] = {
    "accuracy": _number("accuracy", 1, 9),
    "allow": _allow,
    "ctl": _ctl,
    "expirevar": _expirevar,
    "id": _number("id", 1, 9_999_999_999),
    "initcol": _initcol,
    "logdata": _text,
    "maturity": _number("maturity", 1, 9),
    "msg": _text,
    "phase": _phase,
    "redirect": _text,
    "setenv": _setenv,
    "setrsc": _named("RESOURCE"),
    "setsid": _named("SESSION"),
    "setuid": _named("USER"),
    "setvar": _setvar,
    "severity": _severity,
    "skip": _number("skip", 1, 100_000),
    "status": _number("status", 100, 599),
    "t": _transformation,
}
