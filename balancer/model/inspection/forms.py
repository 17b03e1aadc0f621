"""Names and values of queries, forms (``application/x-www-form-urlencoded``) and cookies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from balancer.model.inspection.values import Fault, Value

__all__ = ["cookie_pairs", "form_pairs"]

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def form_pairs(source: str, data: bytes, most: int) -> tuple[tuple[Value, ...], tuple[Fault, ...]]:
    """Return the pairs of ``data``, decoded once, in order, blank and repeated ones kept; and what is malformed.

    Args:
        source: what the values' source is.
        data: as sent.
        most: how many pairs are read; what is behind them is one more, as it was sent.
    """
    faults: list[Fault] = []
    if _BAD_ESCAPE.search(data):
        faults.append(Fault(source, "bad_escape", "a '%' without two hexadecimal digits"))
    pieces = data.split(b"&", most)
    if len(pieces) > most:
        faults.append(Fault(source, "too_many", f"more than {most} arguments"))
    found = []
    bad_text = False
    for piece in pieces:
        if piece:
            name, _, value = piece.partition(b"=")
            pair = Value(source, _text(name), _text(value))
            bad_text = bad_text or "\ufffd" in pair.text or "\ufffd" in pair.name
            found.append(pair)
    if bad_text:
        faults.append(Fault(source, "bad_text", "text that is not UTF-8"))
    return tuple(found), tuple(faults)


def cookie_pairs(lines: Sequence[str], most: int) -> tuple[tuple[Value, ...], tuple[Fault, ...]]:
    """Return the cookies of the ``Cookie`` fields ``lines`` as they were sent, quotes taken off, and what is malformed."""
    found: list[Value] = []
    for line in lines:
        for piece in line.split(";"):
            name, equals, value = piece.strip(" \t").partition("=")
            if not equals:
                if not name:
                    continue
                name, value = "", name
            if len(found) >= most:
                return tuple(found), (Fault("cookie", "too_many", f"more than {most} cookies"),)
            if len(value) > 1 and value[0] == value[-1] == '"':
                value = value[1:-1]
            found.append(Value("cookie", name, value))
    return tuple(found), ()


def _text(data: bytes) -> str:
    if b"+" in data:
        data = data.replace(b"+", b" ")
    if b"%" in data:
        data = unquote_to_bytes(data)
    return data.decode("utf-8", "replace")
