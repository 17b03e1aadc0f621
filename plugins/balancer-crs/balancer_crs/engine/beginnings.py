"""The beginning of a body, made whole: what has come of a long JSON text is looked at as if it ended there."""

from __future__ import annotations

import codecs
import re

__all__ = ["completed_json"]

_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|"(?:[^"\\]|\\.)*\\?\Z|[\[\]{},:]', re.DOTALL)
_CUT_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_CLOSER = {b"[": b"]", b"{": b"}"}


def completed_json(text: bytes) -> bytes:
    """Return JSON with the members of ``text`` that have come, a string that was cut off among them; linear in its length.

    What is no beginning of JSON comes back as something that is no JSON either.
    """
    open_: list[bytes] = []  # what closes the containers that are open
    good = 0  # so much of the text is whole members; strings and colons that follow change nothing of what is open
    is_value = True  # whether a string that comes is a value, and no name
    for found in _TOKENS.finditer(text):
        token = found[0]
        if token in _CLOSER:
            open_.append(_CLOSER[token])
            is_value = token == b"["
            good = found.end()
        elif token in (b"]", b"}"):
            if not open_ or open_.pop() != token:
                return b"!"
            good = found.end()
        elif token == b",":
            is_value = bool(open_) and open_[-1] == b"]"
            good = found.start()
        elif token == b":":
            is_value = True
        elif found.end() == len(text) and is_value:
            is_cut = len(token) == 1 or token[-1:] != b'"' or _is_escaped(token)
            return (_to_its_last_character(text) + b'"' if is_cut else text) + b"".join(reversed(open_))
    return text[:good] + b"".join(reversed(open_))


def _is_escaped(string: bytes) -> bool:
    """Return whether the quote at the end of ``string`` is part of it."""
    before = string[:-1]
    return (len(before) - len(before.rstrip(b"\\"))) % 2 == 1


def _to_its_last_character(text: bytes) -> bytes:
    """Return ``text`` without an escape, or a character of several bytes, of which only the beginning has come."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    text = decoder.decode(text).encode("utf-8", "surrogateescape")
    slashes = len(text) - len(text.rstrip(b"\\"))
    cut = _CUT_ESCAPE.search(text)
    if cut is None or (slashes and slashes % 2 == 0):
        return text
    before = text[: cut.start()]
    if (len(before) - len(before.rstrip(b"\\"))) % 2:
        return text  # the backslash was escaped itself
    return before
