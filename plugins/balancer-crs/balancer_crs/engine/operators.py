"""How a value is judged: ``@rx``, ``@pm``, ``@streq`` and their kin.

Each operator is made once, at load, from a rule's; :meth:`Judge.judge` is asked for each value, and answers None or what is to
be captured. :attr:`Judge.scan` and :meth:`Judge.possible` let the engine look at many values at once first.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from balancer_crs.engine import cards, injection
from balancer_crs.engine.patterns import Backtracking, Captures, Linear, compiled, phrases
from balancer_crs.lang.model import Operator, Text

Expand = Callable[[Text], bytes]
_NUMBER = re.compile(rb"[ \t\n\v\f\r]*([+-]?[0-9]{1,18})")
_MATCH: Captures = ()


class UnavailableError(Exception):
    """The operator cannot work here; the rule is disabled. The text says what is missing."""


class Judge(Protocol):
    """An operator, ready."""

    scan: bytes | None
    """For RE2: found in joined values wherever the operator holds for one of them. None: cannot be said so."""

    quick: bool
    """Whether :meth:`possible` says anything."""

    def judge(self, value: bytes, expand: Expand) -> Captures | None:
        """Return None if it does not hold; else what it captures, perhaps nothing."""

    def possible(self, joined: bytes) -> bool:
        """Return whether it can hold for any of the values that are joined by newlines here."""


class _Judge:
    scan: bytes | None = None
    quick = False

    def possible(self, joined: bytes) -> bool:
        return True


class Rx(_Judge):
    """``@rx``: the expression is found."""

    def __init__(self, operator: Operator) -> None:
        constant = operator.argument.constant
        self._text = operator.argument
        self._search: Linear | Backtracking | None = None
        self.slow: str | None = None
        if constant is not None:
            self._search, self.slow = compiled(encode(constant))
            self.scan = self._search.scan

    def judge(self, value: bytes, expand: Expand) -> Captures | None:
        search = self._search
        if search is None:
            try:
                search = compiled(expand(self._text))[0]
            except ValueError:
                return None
        return search.find(value)


class RxGlobal(Rx):
    """``@rxGlobal``: as ``@rx``; its groups are those of all matches in order."""

    def judge(self, value: bytes, expand: Expand) -> Captures | None:
        first = super().judge(value, expand)
        if first is None:
            return None
        captured, rest = list(first), value
        while len(captured) < 10 and first and first[0]:
            rest = rest[rest.index(first[0]) + len(first[0]) :]
            first = super().judge(rest, expand)
            if first is None:
                break
            captured += first
        return tuple(captured[:10])


class Phrases(_Judge):
    """``@pm``, ``@pmFromFile``: one of the phrases is in it, in capitals or not."""

    quick = True

    def __init__(self, operator: Operator) -> None:
        words = [encode(entry) for entry in operator.entries]
        self._search = phrases(words) if any(words) else None
        if len(words) <= 40 and self._search is not None:
            self.scan = self._search.scan

    def judge(self, value: bytes, expand: Expand) -> Captures | None:
        return None if self._search is None else self._search.find(value)

    def possible(self, joined: bytes) -> bool:
        return self._search is not None and self._search.found(joined)


class Compare(_Judge):
    """``@eq``, ``@lt`` …: both sides as integers; what is none is 0."""

    def __init__(self, operator: Operator) -> None:
        self._compare = _COMPARISONS[operator.name]
        self._text = operator.argument
        self._constant = None if operator.argument.constant is None else number(encode(operator.argument.constant))

    def judge(self, value: bytes, expand: Expand) -> Captures | None:
        right = number(expand(self._text)) if self._constant is None else self._constant
        return _MATCH if self._compare(number(value), right) else None


_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "eq": lambda left, right: left == right,
    "ge": lambda left, right: left >= right,
    "gt": lambda left, right: left > right,
    "le": lambda left, right: left <= right,
    "lt": lambda left, right: left < right,
}


class Words(_Judge):
    """``@streq``, ``@contains``, ``@within`` …: the two texts are compared byte by byte."""

    quick = True

    def __init__(self, operator: Operator) -> None:
        self._compare = _TEXTS[operator.name]
        self._text = operator.argument
        constant = operator.argument.constant
        self._constant = None if constant is None else encode(constant)
        self._inside = self._constant if operator.name != "within" else None

    def judge(self, value: bytes, expand: Expand) -> Captures | None:
        right = expand(self._text) if self._constant is None else self._constant
        return (right,) if self._compare(value, right) else None

    def possible(self, joined: bytes) -> bool:
        return self._inside is None or self._inside in joined


def _contains_word(value: bytes, word: bytes) -> bool:
    if not word:
        return True
    return re.search(rb"(?<![A-Za-z0-9_])" + re.escape(word) + rb"(?![A-Za-z0-9_])", value) is not None


_TEXTS: dict[str, Callable[[bytes, bytes], bool]] = {
    "streq": lambda value, text: value == text,
    "contains": lambda value, text: text in value,
    "strmatch": lambda value, text: text in value,
    "beginsWith": lambda value, text: value.startswith(text),
    "endsWith": lambda value, text: value.endswith(text),
    "within": lambda value, text: value in text,
    "containsWord": _contains_word,
}


class IpMatch(_Judge):
    """``@ipMatch``: an address in one of the networks."""

    def __init__(self, operator: Operator) -> None:
        self._networks = [ipaddress.ip_network(entry.strip(), strict=False) for entry in operator.entries]
        self._known = lru_cache(maxsize=4096)(self._within)

    def judge(self, value: bytes, expand: Expand) -> Captures | None:
        return _MATCH if self._known(value) else None

    def _within(self, value: bytes) -> bool:
        try:
            address = ipaddress.ip_address(value.decode("ascii"))
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in network or address in network for network in self._networks)


class ByteRange(_Judge):
    """``@validateByteRange``: holds for a value with a byte outside of the ranges."""

    quick = True

    def __init__(self, operator: Operator) -> None:
        allowed = bytearray()
        for part in (operator.argument.constant or "").replace(" ", "").split(","):
            first, _, last = part.partition("-")
            try:
                allowed += bytes(range(int(first), int(last or first) + 1))
            except ValueError:
                raise ValueError(f"{part!r} is no range of bytes") from None
        self._allowed = bytes(allowed)
        self._joined = bytes(allowed) + b"\n"

    def judge(self, value: bytes, expand: Expand) -> Captures | None:
        outside = value.translate(None, self._allowed)
        return (outside[:1],) if outside else None

    def possible(self, joined: bytes) -> bool:
        # A newline may be one that nobody allowed: then only one value without any is safe.
        return bool(joined.translate(None, self._joined)) or (b"\n" not in self._allowed and b"\n" in joined)


class UrlEncoding(_Judge):
    """``@validateUrlEncoding``: holds for a value with a ``%`` that two digits do not follow."""

    quick = True

    _bad = re.compile(rb"%(?![0-9a-fA-F]{2})")

    def __init__(self, operator: Operator) -> None:
        pass

    def judge(self, value: bytes, expand: Expand) -> Captures | None:
        found = self._bad.search(value)
        return (value[found.start() : found.start() + 3],) if found else None

    def possible(self, joined: bytes) -> bool:
        return self._bad.search(joined) is not None


class Utf8Encoding(_Judge):
    """``@validateUtf8Encoding``: holds for a value that is not UTF-8."""

    quick = True

    def __init__(self, operator: Operator) -> None:
        pass

    def judge(self, value: bytes, expand: Expand) -> Captures | None:
        if value.isascii():
            return None
        try:
            value.decode("utf-8")
        except UnicodeDecodeError as error:
            return (value[error.start : error.end],)
        return None

    def possible(self, joined: bytes) -> bool:
        return self.judge(joined, encode_text) is not None


class DetectSqli(_Judge):
    """``@detectSQLi``: captures the fingerprint."""

    def __init__(self, operator: Operator) -> None:
        self._library = _library()

    def judge(self, value: bytes, expand: Expand) -> Captures | None:
        fingerprint = self._library.sqli(value)
        return None if fingerprint is None else (fingerprint,)


class DetectXss(_Judge):
    """``@detectXSS``."""

    quick = True

    def __init__(self, operator: Operator) -> None:
        self._library = _library()

    def judge(self, value: bytes, expand: Expand) -> Captures | None:
        return _MATCH if self._library.xss(value) else None

    def possible(self, joined: bytes) -> bool:
        return b"<" in joined or b"=" in joined


def _library() -> injection.Injection:
    found = injection.library()
    if found is None:
        raise UnavailableError("libinjection was not found (Debian: apt install libmodsecurity3)")
    return found


class Always(_Judge):
    """``@unconditionalMatch``, and an action without an operator."""

    def __init__(self, operator: Operator | None = None) -> None:
        pass

    def judge(self, value: bytes, expand: Expand) -> Captures | None:
        return _MATCH


class Never(_Judge):
    """``@noMatch``."""

    quick = True

    def __init__(self, operator: Operator | None = None) -> None:
        pass

    def judge(self, value: bytes, expand: Expand) -> Captures | None:
        return None

    def possible(self, joined: bytes) -> bool:
        return False


class Numbers(_Judge):
    """``@verifyCC`` and its kin: a number of the kind is in it, with good check digits."""

    def __init__(self, operator: Operator) -> None:
        self._search = compiled(encode(operator.argument.constant or ""))[0]
        self._check = cards.CHECKS[operator.name]

    def judge(self, value: bytes, expand: Expand) -> Captures | None:
        rest = value
        while found := self._search.find(rest):
            if self._check(found[0]):
                return found[:1]
            rest = rest[rest.index(found[0]) + max(1, len(found[0])) :]
            if not rest:
                return None
        return None


_JUDGES: dict[str, Callable[[Operator], Judge]] = {
    "rx": Rx,
    "rxGlobal": RxGlobal,
    "pm": Phrases,
    "pmFromFile": Phrases,
    **dict.fromkeys(_COMPARISONS, Compare),
    **dict.fromkeys(_TEXTS, Words),
    "ipMatch": IpMatch,
    "ipMatchFromFile": IpMatch,
    "validateByteRange": ByteRange,
    "validateUrlEncoding": UrlEncoding,
    "validateUtf8Encoding": Utf8Encoding,
    "detectSQLi": DetectSqli,
    "detectXSS": DetectXss,
    "unconditionalMatch": Always,
    "noMatch": Never,
    **dict.fromkeys(cards.CHECKS, Numbers),
}


def judge(operator: Operator | None) -> Judge:
    """Return the operator, ready; that of an action holds always.

    Raises:
        UnavailableError: something that it needs is not installed.
        ValueError: its argument is wrong.
    """
    if operator is None:
        return Always()
    make = _JUDGES.get(operator.name)
    if make is None:
        raise UnavailableError(f"@{operator.name} needs what only a network or a database knows")
    return make(operator)


def number(value: bytes) -> int:
    """Return the integer that a text begins with, else 0."""
    found = _NUMBER.match(value)
    return int(found[1]) if found else 0


def encode(text: str) -> bytes:
    """Return a rule's text as the bytes it was in its file."""
    return text.encode("utf-8", "surrogateescape")


def encode_text(text: Text) -> bytes:
    """Return a text without macros as bytes; macros as they are written."""
    return encode(str(text))
