"""What of a request is looked at: names and values as an application would read them, decoded.

Each text is given twice where decoding changes it: decoded once, as the application reads it, and decoded again, percent
and HTML escapes, as attackers count on that somebody down the line does.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_plus

from balancer.model.exchange import Exchange
from balancer.model.facts import RequestFacts

MOST = 1000
"""Texts of one request that are looked at; those after them are not."""

LONGEST = 16384
"""Characters of one text that are looked at."""

_HEADERS = ("user-agent", "referer")
_BLANKS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+")


def texts(exchange: Exchange) -> Iterator[tuple[str, str, str]]:
    """Yield ``(where, name, text)``: where is ``path``, ``query``, ``cookie``, ``header`` or ``body``."""
    count = 0
    for where, name, text in _raw(exchange):
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


def _raw(exchange: Exchange) -> Iterator[tuple[str, str, str]]:
    facts = exchange.facts
    yield "path", "", unquote_plus(facts.parts[2])
    for name, values in facts.query.items():
        yield "query", name, name
        for value in values:
            yield "query", name, value
    for name, value in facts.cookies.items():
        yield "cookie", name, unquote_plus(value)
    for name in _HEADERS:
        for value in facts.header_values(name):
            yield "header", name, value
    if exchange.body:
        yield from _body(facts, exchange.body)


def _body(facts: RequestFacts, body: bytes) -> Iterator[tuple[str, str, str]]:
    kind = (facts.header("content-type") or "").partition(";")[0].strip().lower()
    text = body.decode("utf-8", "replace")
    if kind == "application/x-www-form-urlencoded":
        for part in text.split("&"):
            name, _, value = part.partition("=")
            yield "body", unquote_plus(name), unquote_plus(name)
            yield "body", unquote_plus(name), unquote_plus(value)
    elif kind == "application/json" or kind.endswith("+json"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            yield "body", "", text
        else:
            yield from _json("", found, 0)
    else:
        yield "body", "", text


def _json(name: str, value: Any, depth: int) -> Iterator[tuple[str, str, str]]:
    if depth > 32:
        return
    if isinstance(value, str):
        yield "body", name, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield "body", key, key
            yield from _json(key, each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            yield from _json(name, each, depth + 1)
