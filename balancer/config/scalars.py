"""Scalars: the core schema of YAML 1.2, ``${ENV}`` and ``!file``.

``yes``, ``on`` and ``1_000`` are text, as YAML 1.2 says; ``0o17`` and ``0x1f`` are numbers. ``${NAME}`` is replaced
by the environment variable, ``${NAME:-default}`` by the default where it is unset or empty; ``$${`` stands for ``${``. A
plain (unquoted) scalar is read after that, so ``weight: ${WEIGHT}`` is a number. ``!file path`` is the text of a file,
without the newline at its end.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from math import isinf
from pathlib import Path
from typing import Any

from balancer.config.document import Secret

__all__ = ["plain_value", "secret_from", "substituted"]

_WORDS: dict[str, bool | float | None] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_INTEGER = re.compile(r"[-+]?[0-9]{1,100}|0o[0-7]{1,100}|0x[0-9a-fA-F]{1,100}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_MOST_DIGITS = 100
_FIRST_OF_NUMBER = frozenset("0123456789+-.")
_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_REFERENCE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_LARGEST_SECRET = 1024 * 1024


def plain_value(text: str) -> Any:
    """Return what the unquoted ``text`` means: None, a bool, a number, or the text itself.

    Raises:
        ValueError: for a number beyond all measure.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in _FIRST_OF_NUMBER:
        if _INTEGER.fullmatch(text):
            base = {"0o": 8, "0x": 16}.get(text[:2], 10)
            return int(text, base) if base == 10 else int(text[2:], base)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if isinf(number) or len(text) > _MOST_DIGITS:
                shown = text if len(text) <= 20 else f"{text[:17]}…, of {len(text)} characters"
                raise ValueError(f"expected a smaller number, got {shown}")
            return number
    return text


def substituted(text: str, environment: Mapping[str, str]) -> str:
    """Return ``text`` with every ``${NAME}`` replaced.

    Raises:
        ValueError: naming the variables that are not set, or the reference that is none.
    """
    unset: list[str] = []

    def replaced(found: re.Match[str]) -> str:
        if found[0] == "$${":
            return "${"
        reference = _REFERENCE.fullmatch(found[1] or "")
        if reference is None or not found[0].endswith("}"):
            raise ValueError(
                f"expected ${{NAME}} or ${{NAME:-default}}, got {found[0]!r} (write '$${{' for the characters themselves)"
            )
        name, default = reference[1], reference[2]
        value = environment.get(name)
        if value is None and default is None:
            unset.append(name)
        return (value or default or "") if default is not None else (value or "")

    result = _VARIABLE.sub(replaced, text)
    if unset:
        word = "environment variable" if len(unset) == 1 else "environment variables"
        raise ValueError(f"expected the {word} {', '.join(unset)} to be set, or a default: ${{{unset[0]}:-default}}")
    return result


def secret_from(path: str, directory: str) -> Secret:
    """Return the text of the file at ``path`` (relative to ``directory``) without the newline at its end.

    Raises:
        ValueError: naming the file and why it cannot be used.
    """
    if not path or "\0" in path:
        raise ValueError("expected the path of a file after !file")
    full = Path(directory, path)
    try:
        mode = full.stat().st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):  # a running service would wait for the writer
            raise ValueError(f"expected a file, got a pipe or socket: {full}")
        with full.open("rb") as file:
            content = file.read(_LARGEST_SECRET + 1)
    except OSError as error:
        raise ValueError(f"cannot read the file {full}: {error.strerror}") from None
    if len(content) > _LARGEST_SECRET:
        raise ValueError(f"expected a file of at most 1 MiB, {full} is larger")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"expected a file in UTF-8, {full} is not") from None
    return Secret(text.removesuffix("\n").removesuffix("\r"))
