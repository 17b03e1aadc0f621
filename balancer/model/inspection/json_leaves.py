"""The leaves of a JSON document with their paths, ``user.tags[0]``.

Members of a repeated name are all there, as readers differ in which of them counts, and numbers stand as they were written.
"""

from __future__ import annotations

import json
from typing import Any

from balancer.model.inspection.values import Fault, Value

__all__ = ["json_leaves"]


_LONGEST_NAME = 64
"""Characters of a member's name that stand in paths; all of a longer one is a value of its own."""

_LONGEST_PATH = 512
"""Characters of a path; a longer one is a value of its own, and goes on with ``…``."""


class _Members(list[tuple[str, Any]]):
    """The members of an object, in order."""


def json_leaves(body: bytes, whole: bool, most: int, depth: int) -> tuple[tuple[Value, ...], tuple[Fault, ...]]:
    """Return the leaves of ``body``, and what is malformed; one value with all of its text if it is no JSON.

    Args:
        body: the document.
        whole: whether that is all of it.
        most: how many leaves are looked at; the others are left out.
        depth: how many levels; a document with more of them is one value, with all of its text.
    """
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    faults: list[Fault] = []
    if "\ufffd" in text:
        faults.append(Fault("json", "bad_text", "text that is not UTF-8"))
    if not whole:
        return (Value("json", "", text),), (*faults, Fault("json", "cut", "longer than the limit"))
    try:
        document = _decoder.decode(text)
    except (ValueError, RecursionError) as error:
        words = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        return (Value("json", "", text),), (*faults, Fault("json", "invalid", words))
    found: list[Value] = []
    cut_short = f"more than {most} leaves"
    waiting: list[tuple[str, Any, int]] = [("", document, 0)]
    while waiting:
        path, value, level = waiting.pop()
        if len(found) >= most:
            faults.append(Fault("json", "too_many", cut_short))
            break
        if isinstance(value, str):
            found.append(Value("json", path, value))
        elif not value and isinstance(value, list):
            found.append(Value("json", path, ""))
        elif not isinstance(value, list):
            found.append(Value("json", path, "null" if value is None else "true" if value else "false"))
        elif level >= depth:
            faults.append(Fault("json", "too_deep", f"more than {depth} levels"))
            return (Value("json", "", text),), tuple(faults)
        elif isinstance(value, _Members):
            if len(path) > _LONGEST_PATH:  # it is in front of every leaf below
                found.append(Value("json", "", path))
                path = "…"
            prefix = f"{path}." if path else ""
            for name, each in reversed(value[: most - len(found) + 1]):
                if len(name) > _LONGEST_NAME:
                    found.append(Value("json", path, name))
                waiting.append((prefix + name[:_LONGEST_NAME], each, level + 1))
        else:
            waiting += [
                (f"{path}[{at}]", value[at], level + 1)
                for at in range(min(len(value), most - len(found) + 1) - 1, -1, -1)
            ]
    return tuple(found), tuple(faults)


_decoder = json.JSONDecoder(object_pairs_hook=_Members, parse_int=str, parse_float=str, parse_constant=str)
