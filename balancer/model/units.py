"""Durations and sizes as people write them: ``250ms``, ``5s``, ``1h30m``, ``16KiB``, ``1MiB``."""

from __future__ import annotations

import re

__all__ = ["counted", "format_duration", "format_size", "parse_duration", "parse_size"]

_DURATION_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE_UNITS = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
_MOST_DIGITS = 18
_DURATION_PART = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)(us|ms|s|m|h|d)", re.ASCII)
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s?(B|[kKMG]B|[KMG]iB)", re.ASCII)


def counted(count: int, noun: str, nouns: str = "") -> str:
    """Return ``1 server`` or ``2 servers``; ``nouns`` is the plural where an s is not enough."""
    return f"{count} {noun}" if count == 1 else f"{count} {nouns or noun + 's'}"


def parse_duration(text: str | int | float) -> float:
    """Return seconds for ``250ms``, ``5s``, ``1h30m`` or 0.

    Raises:
        ValueError: for anything else, a bare number above all: its unit would be a guess.
    """
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        if text == 0:
            return 0.0
        raise ValueError(f"expected a duration with a unit, such as '{text}s' or '{text}ms'")
    if isinstance(text, str):
        parts = _DURATION_PART.findall(text.strip())
        if parts and "".join(number + unit for number, unit in parts) == text.strip():
            return sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)
        if text.strip() == "0":
            return 0.0
    raise ValueError(f"expected a duration such as '250ms', '5s' or '10m', got {text!r}")


def parse_size(text: str | int) -> int:
    """Return bytes for ``16KiB``, ``1MB``, ``512B`` or a bare whole number of bytes.

    Raises:
        ValueError: for anything else.
    """
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    if isinstance(text, str):
        if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
            return int(text)
        match = _SIZE.fullmatch(text.strip())
        if match:
            return int(float(match[1]) * _SIZE_UNITS[match[2]])
    raise ValueError(f"expected a size such as '512B', '16KiB' or '1MiB', got {text!r}")


def format_duration(seconds: float) -> str:
    """Return the shortest exact way to write ``seconds``: ``1.5s``, ``250ms``, ``10m``."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{int(seconds // length)}{unit}"
    if seconds >= 1 or seconds == 0:
        return f"{seconds:g}s"
    return f"{seconds * 1000:g}ms"


def format_size(count: int) -> str:
    """Return ``count`` bytes in the largest binary unit that divides it."""
    for unit, length in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count >= length and count % length == 0:
            return f"{count // length}{unit}"
    return f"{count}B"
