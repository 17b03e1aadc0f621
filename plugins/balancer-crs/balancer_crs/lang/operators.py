"""Operators: ``!@pmFromFile words.data`` into a value, with what its file holds."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from balancer_crs.lang.errors import RuleError, nearest
from balancer_crs.lang.macros import parse_text
from balancer_crs.lang.model import Operator, Text, Where
from balancer_crs.lang.names import OPERATORS, REFUSED_OPERATORS
from balancer_crs.lang.reading import read_text

__all__ = ["parse_operator"]

_NUMBERS = frozenset({"eq", "ge", "gt", "le", "lt"})
_PATTERNS = frozenset({"rx", "rxGlobal", "verifyCC", "verifyCPF", "verifySSN", "verifySVNR"})
_BARE = frozenset({"detectSQLi", "detectXSS", "geoLookup", "noMatch", "unconditionalMatch"})
_OPTIONAL = _BARE | {"validateUrlEncoding", "validateUtf8Encoding", "streq", "within", "contains", "rx"}
_INTEGER = re.compile(r"\s*[-+]?[0-9]+\s*")
_NAME = re.compile(r"(!?)@([A-Za-z0-9_]*)[ \t]*")
_SNORT = re.compile(r"\|((?:[0-9A-Fa-f]{2}[ \t]*)+)\|")


def parse_operator(text: str, where: Callable[[int], Where], folder: Path) -> Operator:
    """Return the operator that ``text`` is; a text without ``@name`` is an expression for ``@rx``.

    Args:
        text: as written, unquoted.
        where: gives the place of a character of it.
        folder: that files are looked for in.

    Raises:
        RuleError: it is unknown, its argument is none, or its file cannot be read.
    """
    head = _NAME.match(text)
    if head is None:
        negated = text.startswith("!")
        name, start = "rx", int(negated)
    else:
        negated, start = bool(head[1]), head.end()
        canonical = OPERATORS.get(head[2].lower())
        if canonical is None:
            raise RuleError(where(head.start(2) - 1), _why(head[2]))
        name = canonical
    argument = text[start:]

    def place(index: int) -> Where:
        return where(min(start + index, max(len(text) - 1, 0)))

    if not argument and name not in _OPTIONAL:
        raise RuleError(place(0), f"expected what @{name} compares with")
    if name in ("pmFromFile", "ipMatchFromFile", "pm", "ipMatch"):
        return Operator(name, negated, Text((argument,)), _entries(name, argument, place, folder))
    if name == "validateByteRange":
        _check_ranges(argument, place)
    parsed = parse_text(argument, place, lenient=name in _PATTERNS)
    constant = parsed.constant
    if name in _NUMBERS and constant is not None and not _INTEGER.fullmatch(constant):
        raise RuleError(place(0), f"expected an integer for @{name}, not {constant!r}")
    return Operator(name, negated, parsed)


def _why(name: str) -> str:
    if reason := REFUSED_OPERATORS.get(name.lower()):
        return f"the operator @{name} is not supported: {reason}"
    return f"unknown operator @{name}{nearest(name, OPERATORS.values(), '@')}"


def _entries(name: str, argument: str, place: Callable[[int], Where], folder: Path) -> tuple[str, ...]:
    if name.startswith("ipMatch"):
        if name == "ipMatch":
            return _unique(_network(each.strip(), place(0)) for each in argument.split(",") if each.strip())
        return _unique(_network(line, Where(file, number)) for file, number, line in _lines(argument, place, folder))
    if name == "pmFromFile":  # here a bar is a bar
        return _unique(line for _, _, line in _lines(argument, place, folder))
    return _unique(_decoded(each) for each in _split(argument))


def _split(argument: str) -> Iterable[str]:
    """Split at blanks that are not within ``|41 42|``."""
    return re.findall(r"(?:\|(?:[0-9A-Fa-f]{2}[ \t]*)+\||\S)+", argument)


def _decoded(phrase: str) -> str:
    return _SNORT.sub(lambda found: bytes.fromhex(found[1]).decode("utf-8", "surrogateescape"), phrase)


def _lines(argument: str, place: Callable[[int], Where], folder: Path) -> Iterable[tuple[str, int, str]]:
    for name in argument.split():
        if "://" in name:
            raise RuleError(place(0), f"{name} is not fetched: only files of this machine are read")
        path = folder / name
        for number, raw in enumerate(read_text(path, place(0)).split("\n"), 1):
            line = raw.strip(" \t\r\v\f")
            if line and not line.startswith("#"):
                yield str(path), number, line


def _network(text: str, where: Where) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise RuleError(where, f"expected an address or a network, not {text!r}") from None


def _unique(entries: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(entries))


def _check_ranges(argument: str, place: Callable[[int], Where]) -> None:
    for part in argument.split(","):
        found = re.fullmatch(r"\s*([0-9]{1,3})\s*(?:-\s*([0-9]{1,3})\s*)?", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not first <= last <= 255:
            raise RuleError(
                place(0), f"expected ranges of bytes, 0 to 255, for @validateByteRange, not {part.strip()!r}"
            )
