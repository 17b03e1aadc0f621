"""What of a request is looked at: names and values as an application would read them, decoded.

Each text is given twice where decoding changes it: decoded once, as the application reads it, and decoded again, percent
and HTML escapes, as attackers count on that somebody down the line does.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote_plus

from balancer.model.inspection.subject import Subject
from balancer.model.inspection.terms import Phase
from balancer.model.inspection.values import Value

MOST = 1000
"""Texts of one request that are looked at; those after them are not."""

LONGEST = 16384
"""Characters of one text that are looked at."""

_HEADERS = ("user-agent", "referer")
_BLANKS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+")


def texts(subject: Subject, phase: Phase) -> tuple[tuple[str, str, str], ...]:
    """Return ``(where, name, text)``: where is ``path``, ``header``, or the source of a value, such as ``query`` or ``json``.

    They are made once for all checks of this package that look at the exchange.
    """
    key = (texts, phase)
    found: tuple[tuple[str, str, str], ...] | None = subject.kept.get(key)
    if found is None:
        found = subject.kept[key] = tuple(_texts(subject, phase))
    return found


def _texts(subject: Subject, phase: Phase) -> Iterator[tuple[str, str, str]]:
    count = 0
    for where, name, text in _head(subject) if phase == "request_head" else _values(subject.inputs.fields):
        for variant in _variants(text[:LONGEST]):
            yield where, name, variant
            count += 1
            if count >= MOST:
                return


def _variants(text: str) -> Iterator[str]:
    yield text
    again = html.unescape(unquote_plus(text)) if "%" in text or "&" in text or "+" in text else text
    again = _BLANKS.sub("", again)
    if again != text:
        yield again


def _head(subject: Subject) -> Iterator[tuple[str, str, str]]:
    facts, inputs = subject.facts, subject.inputs
    yield "path", "", unquote_plus(facts.parts[2])
    yield from _values(inputs.query)
    for value in inputs.cookies:
        yield "cookie", value.name, unquote_plus(value.text)
    for name in _HEADERS:
        for text in facts.header_values(name):
            yield "header", name, text


def _values(values: Iterable[Value]) -> Iterator[tuple[str, str, str]]:
    for source, name, text in values:
        if name:
            yield source, name, name
        yield source, name, text
